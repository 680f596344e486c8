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

/// Which plug-ins were approved at the first start; nothing where it was not the first.
pub fn init_plugins(directory: &Path, approved: Option<&[String]>, locale: Locale) -> String {
    let Some(approved) = approved else { return String::new() };
    let (directory, names) = (directory.display(), approved.join(", "));
    match (locale, approved.is_empty()) {
        (Locale::PtBr, true) => {
            format!("Nenhum plug-in aprovado em {directory}. Copie-os para lá e execute: cofre plugin add {directory}\n")
        }
        (Locale::En, true) => {
            format!("No plug-in was approved in {directory}. Copy them there, then run: cofre plugin add {directory}\n")
        }
        (Locale::PtBr, false) => format!("Plug-ins aprovados em {directory}: {names}\n"),
        (Locale::En, false) => format!("Plug-ins approved in {directory}: {names}\n"),
    }
}

/// What `cofre plugin new` says when it is done.
pub fn plugin_made(folder: &Path, files: &[&str], locale: Locale) -> String {
    let (folder, files) = (folder.display(), files.join(", "));
    match locale {
        Locale::PtBr => {
            format!("Projeto criado em {folder}: {files}\n\nPróximo passo: leia {folder}/README.md e execute os testes que ele descreve.\n")
        }
        Locale::En => format!("Project made in {folder}: {files}\n\nNext: read {folder}/README.md and run the tests that it names.\n"),
    }
}

/// One page to print and keep somewhere else.
pub fn recovery_sheet(config: &Path, passphrase: &Path, locale: Locale) -> String {
    let text = locale.pick(include_str!("recovery.pt-BR.txt"), include_str!("recovery.en.txt"));
    text.replace("@CONFIG@", &config.display().to_string()).replace("@PASSPHRASE@", &passphrase.display().to_string())
}
