//! Words of `cofre login`.

use std::path::Path;

use super::{Locale, duration};

/// Asks to type a code on another device.
pub fn login_type(address: &str, code: &str, seconds: u64, locale: Locale) -> String {
    let valid = duration(seconds, locale);
    match locale {
        Locale::PtBr => format!(
            "Em qualquer aparelho com navegador, abra\n\n    {address}\n\nentre na conta e digite o código\n\n    {code}\n\nAguardando a autorização (o código vale {valid})…"
        ),
        Locale::En => format!(
            "On any device with a browser, open\n\n    {address}\n\nsign in and type the code\n\n    {code}\n\nWaiting for the consent (the code is good for {valid})…"
        ),
    }
}

/// Asks to open an address and to paste what comes of it.
pub fn login_paste(service: &str, address: &str, locale: Locale) -> String {
    let open = locale.pick(
        "Em qualquer aparelho com navegador, abra este endereço, entre na conta e autorize:",
        "On any device with a browser, open this address, sign in and agree:",
    );
    let paste = match service {
        "gdrive" => locale.pick(
            "Depois o navegador tenta abrir um endereço que começa com http://127.0.0.1 e não responde; isso está certo.\nCopie esse endereço inteiro da barra do navegador e cole-o aqui: ",
            "The browser then tries to open an address that begins with http://127.0.0.1 and does not answer; that is right.\nCopy that whole address from the browser's bar and paste it here: ",
        ),
        _ => locale.pick("Cole aqui o código que a página mostra: ", "Paste here the code that the page shows: "),
    };
    format!("{open}\n\n    {address}\n\n{paste}")
}

/// Says that the token is stored, and how a configuration names it.
pub fn login_done(service: &str, file: &Path, locale: Locale) -> String {
    let stored = locale.pick("Token guardado (modo 0600) em", "The token is stored (mode 0600) in");
    let use_it = locale.pick("No destino da configuração:", "In the configuration's destination:");
    let file = file.display();
    format!(
        "{stored} {file}\n\n{use_it}\n\n    [[destination]]\n    name = \"{service}\"\n    plugin = \"{service}\"\n    secrets.refresh_token = {{ file = \"{file}\" }}\n    secrets.client_id = {{ file = \"…\" }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_says_what_to_open_and_what_to_type_or_paste() {
        for (locale, words) in [
            (Locale::PtBr, ["digite o código", "cole-o aqui", "Cole aqui o código"]),
            (Locale::En, ["type the code", "paste it here", "Paste here the code"]),
        ] {
            let texts = [
                login_type("https://a", "AB-CD", 1_800, locale),
                login_paste("gdrive", "https://a", locale),
                login_paste("dropbox", "https://a", locale),
            ];
            for (text, words) in texts.iter().zip(words) {
                assert!(text.contains(words) && text.contains("https://a"), "{text}");
            }
            assert!(
                login_done("dropbox", Path::new("/etc/cofre/t"), locale).contains("secrets.refresh_token = { file = \"/etc/cofre/t\" }")
            );
        }
    }
}
