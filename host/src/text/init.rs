//! Texts of `cofre init`: the commented configuration, and the recovery sheet to keep away from the server.

use std::path::Path;

use super::Locale;

/// A commented configuration for a new installation.
pub fn configuration_template(passphrase: &Path, locale: Locale) -> String {
    let text = locale.pick(include_str!("cofre.pt-BR.toml"), include_str!("cofre.en.toml"));
    text.replace("@PASSPHRASE@", &passphrase.display().to_string())
}

/// What `cofre init` says when it is done.
pub fn init_done(config: &Path, passphrase: &Path, locale: Locale) -> String {
    match locale {
        Locale::PtBr => format!(
            "Configuração: {}\nSenha: {} (modo 0600)\n\nPróximos passos: edite a configuração, execute `cofre check` e depois `cofre run`.\n",
            config.display(),
            passphrase.display()
        ),
        Locale::En => format!(
            "Configuration: {}\nPassphrase: {} (mode 0600)\n\nNext: edit the configuration, run `cofre check`, then `cofre run`.\n",
            config.display(),
            passphrase.display()
        ),
    }
}

/// One page to print and keep somewhere else.
pub fn recovery_sheet(config: &Path, passphrase: &Path, locale: Locale) -> String {
    let text = locale.pick(include_str!("recovery.pt-BR.txt"), include_str!("recovery.en.txt"));
    text.replace("@CONFIG@", &config.display().to_string()).replace("@PASSPHRASE@", &passphrase.display().to_string())
}
