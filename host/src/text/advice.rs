//! What a person is to do about an error, chosen for that error.

use super::Locale;
use crate::config::format_size;
use crate::notify::Advice;

/// What kind of error it is, in a few words.
pub(super) fn advice_title(advice: &Advice, locale: Locale) -> &'static str {
    let (portuguese, english) = match advice {
        Advice::DiskFull { .. } => ("Disco cheio neste servidor", "A disk of this machine is full"),
        Advice::DestinationFull => ("Destino sem espaço", "The destination is full"),
        Advice::Credentials => ("Acesso recusado", "Access refused"),
        Advice::Privileges => ("Faltam privilégios", "Privileges are missing"),
        Advice::Unreachable => ("Falha na conexão", "Connection failed"),
        Advice::Directory => ("O diretório do destino não está lá", "The destination's directory is not there"),
        Advice::Slow => ("Tempo de resposta esgotado", "No answer in time"),
        Advice::Certificate => ("Certificado recusado", "Certificate refused"),
        Advice::RateLimited => ("Limite de requisições do serviço", "The service limits requests"),
        Advice::Damaged { .. } => ("Cópia danificada", "Damaged copy"),
        Advice::PassphraseMissing => ("Senha de criptografia ausente", "The passphrase is missing"),
        Advice::PassphraseWrong => ("Senha de criptografia diferente", "The passphrase is another one"),
        Advice::AppendOnly => ("O destino não permite excluir", "The destination lets nothing be removed"),
        Advice::Busy => ("Outra execução em andamento", "Another run is active"),
        Advice::PluginApproval => ("Plug-in não aprovado", "Plug-in not approved"),
        Advice::Plugin => ("Falha em um plug-in", "A plug-in failed"),
        Advice::Settings => ("Configuração incorreta", "Wrong configuration"),
        Advice::Hook => ("Comando auxiliar falhou", "A hook failed"),
        Advice::Partial => ("Backup incompleto", "The backup is not whole"),
        Advice::NoSet => ("Nenhum backup completo", "There is no complete backup"),
        Advice::Stale => ("Backup atrasado", "The backup is late"),
        Advice::ServiceDown { .. } => ("Serviço parado", "A service is down"),
        Advice::Differs => ("O restaurado difere do original", "What was restored differs"),
        Advice::Timeout => ("Tempo máximo excedido", "It took too long"),
        Advice::Unknown => ("Erro", "Error"),
    };
    locale.pick(portuguese, english)
}

/// What to do, in order. `subject` is what failed, where it is known.
pub(super) fn advice_actions(advice: &Advice, subject: &str, locale: Locale) -> Vec<String> {
    let own = |lines: &[(&str, &str)]| lines.iter().map(|(portuguese, english)| locale.pick(portuguese, english).to_owned()).collect();
    match advice {
        Advice::DiskFull { path, free, needed } => disk_full(path, *free, *needed, locale),
        Advice::Damaged { set, good } => damaged(set.as_deref(), good, subject, locale),
        Advice::ServiceDown { service } => service_down(service, locale),
        Advice::DestinationFull => own(&[
            ("Liberar espaço ou aumentar a cota do destino", "Free some space, or raise the quota of the destination"),
            ("Ver o que a retenção remove: `cofre prune --dry-run`", "See what retention removes: `cofre prune --dry-run`"),
            ("Completar as cópias: `cofre resume`", "Complete the copies: `cofre resume`"),
        ]),
        Advice::Credentials => own(&[
            ("Validar usuário, senha, chave ou token na configuração", "Check the user, password, key or token in the configuration"),
            (
                "Confirmar que a credencial não expirou nem foi revogada, e que tem as permissões necessárias",
                "Make sure that the credential has not expired or been revoked, and has the permissions it needs",
            ),
            ("Testar: `cofre check`", "Try it: `cofre check`"),
        ]),
        Advice::Privileges => own(&[
            ("Conceder à conta os privilégios que o erro menciona", "Grant the account the privileges that the error names"),
            ("Testar: `cofre check`", "Try it: `cofre check`"),
            ("Executar um novo backup: `cofre run`", "Make a new backup: `cofre run`"),
        ]),
        Advice::Unreachable => own(&[
            ("Verificar conectividade de rede, DNS e firewall", "Check the network, name resolution and firewall"),
            ("Verificar se o serviço do outro lado está no ar", "Check that the service at the other end is up"),
            (
                "Completar o que falta: `cofre resume` (cópias) ou `cofre run` (novo backup)",
                "Complete what is missing: `cofre resume` (copies) or `cofre run` (a new backup)",
            ),
        ]),
        Advice::Directory => own(&[
            ("Montar o disco ou compartilhamento do destino", "Mount the destination's drive or share"),
            (
                "Criar o diretório, se for novo, ou corrigir `grants.directory`",
                "Make the directory, if it is new, or correct `grants.directory`",
            ),
            ("Completar as cópias: `cofre resume`", "Complete the copies: `cofre resume`"),
        ]),
        Advice::Slow => own(&[
            ("Verificar a carga do servidor e a qualidade da rede", "Check the load of the server and the quality of the network"),
            (
                "Se for o normal dali, aumentar os tempos limite na configuração",
                "If that is how it is there, raise the time limits in the configuration",
            ),
            (
                "Completar o que falta: `cofre resume` (cópias) ou `cofre run` (novo backup)",
                "Complete what is missing: `cofre resume` (copies) or `cofre run` (a new backup)",
            ),
        ]),
        Advice::Certificate => own(&[
            (
                "Verificar a validade e o nome do certificado do servidor, e o relógio desta máquina",
                "Check the dates and the name of the server's certificate, and the clock of this machine",
            ),
            (
                "Se for de uma autoridade própria, informar o arquivo dela em `ca_file`",
                "If it is of an authority of your own, name its file in `ca_file`",
            ),
            ("Testar: `cofre check`", "Try it: `cofre check`"),
        ]),
        Advice::RateLimited => own(&[
            ("Esperar: o serviço pediu menos requisições", "Wait: the service asked for fewer requests"),
            (
                "Se repetir, mudar o horário do backup ou pedir um limite maior ao serviço",
                "If it happens again, move the backup to another hour, or ask the service for a higher limit",
            ),
            ("Completar as cópias: `cofre resume`", "Complete the copies: `cofre resume`"),
        ]),
        other => at_home(other, locale),
    }
}

/// What to do where nothing is wrong with another server.
fn at_home(advice: &Advice, locale: Locale) -> Vec<String> {
    let own = |lines: &[(&str, &str)]| lines.iter().map(|(portuguese, english)| locale.pick(portuguese, english).to_owned()).collect();
    match advice {
        Advice::PassphraseMissing => own(&[
            (
                "Restaurar o arquivo da senha (a folha de recuperação a contém), legível só para a conta do cofre",
                "Put the passphrase's file back (the recovery sheet has it), readable by cofre's account alone",
            ),
            ("Testar: `cofre check`", "Try it: `cofre check`"),
            ("Executar o backup manualmente: `cofre run`", "Run the backup by hand: `cofre run`"),
        ]),
        Advice::PassphraseWrong => own(&[
            (
                "Conferir com a folha de recuperação: a senha configurada não é a deste conjunto",
                "Compare with the recovery sheet: the configured passphrase is not that of this set",
            ),
            (
                "Se a senha está certa, alguém alterou o conjunto: copiá-lo de um destino bom com `cofre repair`",
                "If it is right, somebody changed the set: copy it from a good destination with `cofre repair`",
            ),
        ]),
        Advice::AppendOnly => own(&[
            (
                "Se o destino deve ser somente para acrescentar, excluir ali por fora ou deixar expirar o bloqueio",
                "If the destination is append-only on purpose, remove there by other means, or let the lock expire",
            ),
            (
                "Se o cofre deve excluir, conceder `grants.delete = true` e a permissão no serviço",
                "If cofre is to remove, grant `grants.delete = true`, and the permission at the service",
            ),
        ]),
        Advice::Busy => own(&[("Esperar a outra execução terminar (`cofre status`)", "Wait for the other run to end (`cofre status`)")]),
        Advice::PluginApproval => own(&[
            ("Ver o que mudou: `cofre plugin list`", "See what changed: `cofre plugin list`"),
            (
                "Se a mudança é sua, aprovar: `cofre plugin add` ou `cofre plugin update`; se não é, investigar",
                "If the change is yours, approve it: `cofre plugin add` or `cofre plugin update`; if not, find out whose it is",
            ),
        ]),
        Advice::Plugin => own(&[
            ("Diagnosticar: `cofre plugin doctor`", "Diagnose it: `cofre plugin doctor`"),
            ("Atualizar o plug-in, ou avisar quem o fez", "Update the plug-in, or tell whoever made it"),
        ]),
        Advice::Settings => own(&[
            ("Corrigir a configuração na linha indicada", "Mend the configuration at the line that is named"),
            ("Testar: `cofre check`", "Try it: `cofre check`"),
        ]),
        Advice::Hook => own(&[
            (
                "Executar o comando à mão, com a conta do cofre, e ver por que falha",
                "Run the command by hand, as cofre's account, and see why it fails",
            ),
            ("Executar o backup manualmente se necessário: `cofre run`", "Run the backup by hand if needed: `cofre run`"),
        ]),
        Advice::Partial => own(&[
            ("Ver nos detalhes o que não pôde ser lido, e corrigir", "See in the details what could not be read, and mend it"),
            ("Executar um novo backup: `cofre run`", "Make a new backup: `cofre run`"),
        ]),
        Advice::NoSet => own(&[
            ("Verificar se alguém removeu os backups do destino", "Find out whether somebody removed the backups from the destination"),
            (
                "Completar as cópias: `cofre resume`; ou um novo backup: `cofre run`",
                "Complete the copies: `cofre resume`; or make a new backup: `cofre run`",
            ),
        ]),
        Advice::Stale => own(&[
            (
                "Verificar se o servidor de origem está ligado, e o serviço em execução: `systemctl status cofre`",
                "Check that the machine is up, and the service on it: `systemctl status cofre`",
            ),
            (
                "Ver a agenda e as últimas execuções: `cofre schedule`, `cofre status`",
                "See the schedule and the last runs: `cofre schedule`, `cofre status`",
            ),
            ("Executar o backup manualmente: `cofre run`", "Run the backup by hand: `cofre run`"),
        ]),
        Advice::Differs => own(&[
            ("Verificar o conjunto até o fim: `cofre verify SET --deep`", "Verify the set to its last byte: `cofre verify SET --deep`"),
            (
                "Executar um novo backup e repetir o teste: `cofre run`, `cofre drill`",
                "Make a new backup and repeat the drill: `cofre run`, `cofre drill`",
            ),
            (
                "Se diferir de novo, comparar a versão do servidor de banco de dados com a do original",
                "If it differs again, compare the version of the database server with that of the original",
            ),
        ]),
        Advice::Timeout => own(&[
            ("Ver o que demorou: `cofre status` e o log", "See what took so long: `cofre status` and the log"),
            ("Aumentar `timeout` do job, ou reduzir o que ele faz", "Raise the job's `timeout`, or reduce what it does"),
        ]),
        _ => own(&[
            ("Corrigir a causa descrita nos detalhes", "Mend the cause that the details describe"),
            ("Conferir: `cofre check`", "Check: `cofre check`"),
            ("Executar o backup manualmente se necessário: `cofre run`", "Run the backup by hand if needed: `cofre run`"),
        ]),
    }
}

fn disk_full(path: &str, free: u64, needed: Option<u64>, locale: Locale) -> Vec<String> {
    let place = if path.is_empty() { locale.pick("onde o erro indica", "where the error says").to_owned() } else { format!("`{path}`") };
    let first = match (locale, needed) {
        (Locale::PtBr, Some(needed)) => {
            format!("Liberar espaço em {place}: há {} livres, são necessários {} além da reserva", format_size(free), format_size(needed))
        }
        (Locale::En, Some(needed)) => {
            format!("Free some space in {place}: {} are free, {} are needed beside the reserve", format_size(free), format_size(needed))
        }
        (Locale::PtBr, None) => format!("Liberar espaço: {place}"),
        (Locale::En, None) => format!("Free some space: {place}"),
    };
    let mut actions = vec![first];
    // Only a run knows how much it needs, and it is the spool that it needs it in.
    if needed.is_some() {
        actions.push(
            locale.pick("Ou apontar `storage.spool_dir` para um disco maior", "Or set `storage.spool_dir` to a larger disk").to_owned(),
        );
        actions.push(locale.pick("Executar o backup manualmente: `cofre run`", "Run the backup by hand: `cofre run`").to_owned());
    }
    actions
}

fn service_down(service: &str, locale: Locale) -> Vec<String> {
    match locale {
        Locale::PtBr => vec![
            format!("Ver por que parou: `systemctl status {service}` e o log"),
            format!("Corrigir e iniciar: `systemctl start {service}`"),
        ],
        Locale::En => vec![
            format!("See why it ended: `systemctl status {service}` and its log"),
            format!("Mend that and start it: `systemctl start {service}`"),
        ],
    }
}

fn damaged(set: Option<&str>, good: &[String], subject: &str, locale: Locale) -> Vec<String> {
    let set = set.unwrap_or(subject);
    let repair = match (locale, set.is_empty()) {
        (Locale::PtBr, false) => format!("Copiar de novo de um destino bom: `cofre repair {set}`"),
        (Locale::En, false) => format!("Copy it again from a good destination: `cofre repair {set}`"),
        (Locale::PtBr, true) => "Copiar de novo de um destino bom: `cofre repair`".to_owned(),
        (Locale::En, true) => "Copy it again from a good destination: `cofre repair`".to_owned(),
    };
    let verify = if set.is_empty() { "all" } else { set };
    let known = match (locale, good) {
        (Locale::PtBr, []) => format!("Descobrir qual cópia ainda está boa: `cofre verify {verify}`"),
        (Locale::En, []) => format!("Find out which copy is still good: `cofre verify {verify}`"),
        (Locale::PtBr, good) => format!("A cópia em {} está íntegra", good.join(", ")),
        (Locale::En, good) => format!("The copy at {} is sound", good.join(", ")),
    };
    let disk = locale.pick(
        "Verificar o armazenamento do destino: o que se danificou uma vez pode se danificar de novo",
        "Check the destination's storage: what went bad once may do so again",
    );
    vec![known, repair, disk.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each kind.
    fn all() -> Vec<Advice> {
        let damaged = |good: &[&str]| Advice::Damaged {
            set: Some("backup_2026_03_15_02_00_15".into()),
            good: good.iter().map(|&name| name.to_owned()).collect(),
        };
        vec![
            Advice::DiskFull { path: "/var/lib/cofre/spool".into(), free: 1 << 30, needed: Some(5 << 30) },
            Advice::DiskFull { path: String::new(), free: 0, needed: None },
            Advice::DestinationFull,
            Advice::Credentials,
            Advice::Privileges,
            Advice::Unreachable,
            Advice::Directory,
            Advice::Slow,
            Advice::Certificate,
            Advice::RateLimited,
            damaged(&["disco", "nuvem"]),
            damaged(&[]),
            Advice::PassphraseMissing,
            Advice::PassphraseWrong,
            Advice::AppendOnly,
            Advice::Busy,
            Advice::PluginApproval,
            Advice::Plugin,
            Advice::Settings,
            Advice::Hook,
            Advice::Partial,
            Advice::NoSet,
            Advice::Stale,
            Advice::ServiceDown { service: "apache2".into() },
            Advice::Differs,
            Advice::Timeout,
            Advice::Unknown,
        ]
    }

    #[test]
    fn every_error_has_its_own_help_in_both_languages() {
        for (locale, name) in [(Locale::PtBr, "pt"), (Locale::En, "en")] {
            let told = |advice: &Advice| {
                let actions = advice_actions(advice, "nas", locale);
                assert!(!actions.is_empty(), "{advice:?}");
                format!("{}\n  {}\n", advice_title(advice, locale), actions.join("\n  "))
            };
            insta::assert_snapshot!(format!("advice_{name}"), all().iter().map(told).collect::<Vec<_>>().join("\n"));
        }
    }
}
