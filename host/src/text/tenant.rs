//! The letter to whoever gets the backup of a tenant, and what the administrator is shown. The passphrase is only in the latter.

use std::fmt::Write as _;

use super::letter::{Fact, Letter};
use super::{AlertText, Locale, moment};
use crate::config::format_size;
use crate::notify::Severity;

/// A backup of one tenant.
#[derive(Debug, Clone)]
pub struct TenantFacts {
    /// Name of the tenant.
    pub tenant: String,
    /// When it was made.
    pub at: jiff::ZonedDateTime,
    /// Name of the file.
    pub file: String,
    /// Its bytes.
    pub size: u64,
    /// Its digest, lower-case hex.
    pub sha256: String,
    /// Rounds of PBKDF2; `None` where the key is derived as old scripts do.
    pub iterations: Option<u32>,
    /// Schemas, and the stem of each one's files in the archive.
    pub schemas: Vec<(String, String)>,
    /// Directories.
    pub directories: Vec<String>,
    /// Files that changed while they were read.
    pub unstable: u64,
    /// Where to download it from, and until when; `None` where it is attached.
    pub link: Option<(String, jiff::ZonedDateTime)>,
}

/// What the administrator is shown.
#[derive(Debug, Clone, Default)]
pub struct TenantSummary {
    /// Name of the tenant.
    pub tenant: String,
    /// Who gets it.
    pub recipient: String,
    /// Name of the file.
    pub file: String,
    /// Its bytes.
    pub size: u64,
    /// Whether it is attached.
    pub attached: bool,
    /// Whether the service took the message; else why not.
    pub waiting: Option<String>,
}

/// The letter that the backup goes with, or that says where it is.
pub fn tenant_letter(facts: &TenantFacts, locale: Locale) -> AlertText {
    let pick = |portuguese, english| locale.pick(portuguese, english);
    let title = format!("{} {}", pick("BACKUP DE", "BACKUP OF"), facts.tenant);
    let mut letter = Letter::new(Severity::Info, ("📦", &title), locale);
    let schemas = facts.schemas.iter().map(|(schema, _)| schema.as_str()).collect::<Vec<_>>().join(", ");
    let mut table = vec![Fact::new(pick("Data", "Date"), &moment(&facts.at, locale))];
    if !facts.schemas.is_empty() {
        table.push(Fact::new(pick("Bancos de dados", "Databases"), &schemas));
    }
    if !facts.directories.is_empty() {
        table.push(Fact::new(pick("Diretórios", "Directories"), &facts.directories.join(", ")));
    }
    if facts.unstable > 0 {
        let label = pick("Arquivos alterados durante a leitura", "Files that changed while they were read");
        table.push(Fact::new(label, &facts.unstable.to_string()));
    }
    table.extend([
        Fact::new(pick("Arquivo", "File"), &facts.file),
        Fact::new(pick("Tamanho", "Size"), &format!("{} ({} bytes)", format_size(facts.size), facts.size)),
        Fact::new("SHA-256", &facts.sha256),
    ]);
    if let Some((_, expires)) = &facts.link {
        table.push(Fact::new(pick("Disponível até", "Available until"), &moment(expires, locale)));
    }
    letter.facts(table);
    match &facts.link {
        Some((address, _)) => {
            letter.heading(pick("Baixar", "Download"));
            letter.text(address);
        }
        None => letter.text(pick("O arquivo está anexado a esta mensagem.", "The file is attached to this message.")),
    }
    letter.text(pick(
        "O arquivo está criptografado. A senha não está nesta mensagem: ela chega por outro meio, de quem pediu este backup.",
        "The file is encrypted. Its passphrase is not in this message: it comes another way, from whoever asked for this backup.",
    ));
    letter.heading(pick(
        "Como abrir, em Linux ou macOS, com openssl, tar e mariadb",
        "How to open it, on Linux or macOS, with openssl, tar and mariadb",
    ));
    letter.notes(commands(facts));
    AlertText { subject: letter.subject(None), text: letter.plain(), html: letter.html() }
}

/// The commands that open the file; `openssl` asks for the passphrase.
fn commands(facts: &TenantFacts) -> Vec<String> {
    let kdf = facts.iterations.map(|iterations| format!("-pbkdf2 -iter {iterations} ")).unwrap_or_default();
    let mut commands =
        vec![format!("sha256sum {}", facts.file), format!("openssl enc -d -aes-256-cbc {kdf}-md sha256 -in {} | tar -xzf -", facts.file)];
    for (schema, stem) in &facts.schemas {
        let quoted = format!("'{}'", schema.replace('\'', r"'\''"));
        commands.push(format!("mariadb-admin create {quoted}"));
        commands.push(format!("mariadb {quoted} < {stem}.sql"));
    }
    commands
}

/// What came of it.
pub fn tenant_summary(facts: &TenantSummary, locale: Locale) -> String {
    let TenantSummary { tenant, recipient, file, size, attached, waiting } = facts;
    let way = if *attached {
        locale.pick("como anexo", "as an attachment")
    } else {
        locale.pick("com um link para baixar", "with an address to download from")
    };
    let size = format_size(*size);
    match (waiting, locale) {
        (None, Locale::PtBr) => format!("✅ Backup de {tenant} entregue a {recipient} {way}: {file} ({size})"),
        (None, Locale::En) => format!("✅ Backup of {tenant} delivered to {recipient} {way}: {file} ({size})"),
        (Some(why), Locale::PtBr) => format!(
            "⏳ Backup de {tenant} para {recipient} {way} está pronto ({file}, {size}) e AINDA NÃO FOI ENTREGUE; o daemon continua tentando. {why}"
        ),
        (Some(why), Locale::En) => format!(
            "⏳ Backup of {tenant} for {recipient} {way} is ready ({file}, {size}) and NOT DELIVERED YET; the daemon goes on trying. {why}"
        ),
    }
}

/// The passphrase, shown once.
pub fn tenant_passphrase(passphrase: &str, recipient: &str, locale: Locale) -> String {
    let mut text = String::new();
    let _ = match locale {
        Locale::PtBr => write!(
            text,
            "\nSenha deste arquivo, mostrada só agora e não guardada:\n\n   {passphrase}\n\nInforme-a a {recipient} por outro meio, por exemplo por telefone; nunca por e-mail."
        ),
        Locale::En => write!(
            text,
            "\nThe passphrase of this file, shown only now and kept nowhere:\n\n   {passphrase}\n\nTell it to {recipient} another way, such as by telephone; never by mail."
        ),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(link: bool) -> TenantFacts {
        let at = |day| jiff::civil::date(2026, 3, day).at(2, 0, 0, 0).to_zoned_datetime(jiff::tz::TimeZone::UTC).expect("a time");
        TenantFacts {
            tenant: "acme".to_owned(),
            at: at(15),
            file: "acme_2026-03-15_0200.tar.gz.enc".to_owned(),
            size: 5_242_880,
            sha256: "e3b0c442".to_owned(),
            iterations: Some(600_000),
            schemas: vec![("acme_erp".to_owned(), "acme_erp".to_owned()), ("acme'b".to_owned(), "acme_b~0a1b".to_owned())],
            directories: vec!["/srv/acme".to_owned()],
            unstable: u64::from(link),
            link: link.then(|| ("https://s3.example.com/b/k?X-Amz-Expires=1&X-Amz-Signature=2".to_owned(), at(18))),
        }
    }

    #[test]
    fn the_letter_in_both_languages_and_both_ways() {
        let of = |link, locale| {
            let letter = tenant_letter(&facts(link), locale);
            format!("{}\n\n{}", letter.subject, letter.text)
        };
        insta::assert_snapshot!("attached_pt", of(false, Locale::PtBr));
        insta::assert_snapshot!("attached_en", of(false, Locale::En));
        insta::assert_snapshot!("link_pt", of(true, Locale::PtBr));
        insta::assert_snapshot!("link_en", of(true, Locale::En));
        let html = tenant_letter(&facts(true), Locale::PtBr).html;
        assert!(html.contains("X-Amz-Signature=2") && html.contains("Baixar") && !html.contains("src="), "{html}");
    }

    #[test]
    fn an_old_key_is_opened_without_pbkdf2() {
        let text = tenant_letter(&TenantFacts { iterations: None, ..facts(false) }, Locale::En).text;
        assert!(text.contains("openssl enc -d -aes-256-cbc -md sha256 -in acme_"), "{text}");
    }

    #[test]
    fn what_the_administrator_is_shown() {
        let summary = |waiting: Option<&str>, locale| {
            let summary = TenantSummary {
                tenant: "acme".to_owned(),
                recipient: "ana@example.com".to_owned(),
                file: "acme_2026-03-15_0200.tar.gz.enc".to_owned(),
                size: 5_242_880,
                attached: waiting.is_none(),
                waiting: waiting.map(str::to_owned),
            };
            tenant_summary(&summary, locale)
        };
        let all = [Locale::PtBr, Locale::En].map(|locale| {
            let shown = [summary(None, locale), summary(Some("connection refused"), locale)].join("\n");
            format!("{shown}\n{}", tenant_passphrase("aaaaa-bbbbb", "ana@example.com", locale))
        });
        insta::assert_snapshot!("shown", all.join("\n\n"));
    }
}
