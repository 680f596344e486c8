//! The fields of what cofre itself sets up, in both languages; the mission's labels where it has them.

use crate::page::form::{Field, Input, Kept};
use crate::page::part::Choice;
use crate::text::Locale;

/// A database server, as it is configured.
#[derive(Debug, Clone, Default)]
pub struct Database {
    /// `name`
    pub name: String,
    /// `host`
    pub host: String,
    /// `port`
    pub port: String,
    /// `socket`
    pub socket: String,
    /// `user`
    pub user: String,
    /// `password`, by the place where it is kept
    pub password: Option<Kept>,
    /// `include_schemas`
    pub include_schemas: Vec<String>,
    /// `exclude_schemas`
    pub exclude_schemas: Vec<String>,
    /// `exclude_tables`
    pub exclude_tables: Vec<String>,
    /// `exclude_rows`
    pub exclude_rows: Vec<String>,
}

/// A directory, as it is configured.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// `path`
    pub path: String,
    /// `exclude`
    pub exclude: Vec<String>,
    /// `exclude_caches`
    pub exclude_caches: bool,
    /// `one_file_system`
    pub one_file_system: bool,
    /// `max_file_size`
    pub max_file_size: String,
    /// `tenant`
    pub tenant: String,
}

/// A job, as it is configured.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// `name`
    pub name: String,
    /// `action`: `run`, `verify`, `prune`, `report`, `drill`
    pub action: String,
    /// `schedule`
    pub schedule: String,
    /// `time_zone`
    pub time_zone: String,
    /// `only`
    pub only: Vec<String>,
    /// `not_between`
    pub not_between: Vec<String>,
    /// `timeout`
    pub timeout: String,
    /// `catch_up`
    pub catch_up: bool,
    /// `enabled`
    pub enabled: bool,
}

/// What an instance of a plug-in may reach, as it is configured.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    /// `grants.network`
    pub network: Vec<String>,
    /// What the plug-in asks for: target, and why in its own words.
    pub asks: Vec<(String, String)>,
    /// `grants.directory`, where the plug-in asks for one.
    pub directory: Option<String>,
    /// `grants.delete`, where there is something to remove.
    pub delete: Option<bool>,
}

/// What a notifier hears of, as it is configured.
#[derive(Debug, Clone, Default)]
pub struct Hearing {
    /// `events`
    pub events: Vec<String>,
    /// `min_severity`
    pub min_severity: String,
    /// `quiet`
    pub quiet: Vec<String>,
}

/// The rules of retention, as they are configured.
#[derive(Debug, Clone, Default)]
pub struct RetentionRules {
    /// `keep_last`
    pub keep_last: String,
    /// `keep_within`
    pub keep_within: String,
    /// `keep_daily`
    pub keep_daily: String,
    /// `keep_weekly`
    pub keep_weekly: String,
    /// `keep_monthly`
    pub keep_monthly: String,
    /// `keep_yearly`
    pub keep_yearly: String,
    /// `max_size`
    pub max_size: String,
}

/// Makes fields: label and help in both languages.
struct Maker(Locale);

impl Maker {
    fn field(&self, name: &str, label: (&str, &str), help: (&str, &str), input: Input) -> Field {
        let pick = |(portuguese, english): (&str, &str)| self.0.pick(portuguese, english).to_owned();
        Field { name: name.to_owned(), label: pick(label), help: pick(help), input, required: false, fault: None }
    }

    fn text(&self, name: &str, label: (&str, &str), help: (&str, &str), (value, default): (&str, &str)) -> Field {
        self.field(name, label, help, Input::Text { value: value.to_owned(), most: Some(1_000), default: default.to_owned() })
    }

    fn lines(&self, name: &str, label: (&str, &str), help: (&str, &str), values: &[String]) -> Field {
        self.field(name, label, help, Input::Lines { values: values.to_vec() })
    }

    fn flag(&self, name: &str, label: (&str, &str), help: (&str, &str), on: bool) -> Field {
        self.field(name, label, help, Input::Flag { on })
    }

    fn count(&self, name: &str, label: (&str, &str), value: &str) -> Field {
        let input = Input::Number { value: value.to_owned(), whole: true, least: Some(0.0), most: Some(10_000.0), default: String::new() };
        self.field(name, label, ("", ""), input)
    }
}

fn needed(field: Field) -> Field {
    Field { required: true, ..field }
}

/// The fields of a database server, named as its keys.
pub fn database_fields(now: &Database, locale: Locale) -> Vec<Field> {
    let make = Maker(locale);
    let port = Input::Number { value: now.port.clone(), whole: true, least: Some(1.0), most: Some(65_535.0), default: "3306".to_owned() };
    vec![
        needed(make.text(
            "name",
            ("Nome", "Name"),
            ("Como o cofre chama este servidor.", "What cofre calls this server."),
            (&now.name, ""),
        )),
        make.text("host", ("Host do Banco", "Host"), ("", ""), (&now.host, "localhost")),
        make.field("port", ("Porta", "Port"), ("", ""), port),
        make.text(
            "socket",
            ("Socket", "Socket"),
            (
                "Em vez de host e porta, por exemplo `/run/mysqld/mysqld.sock`.",
                "Instead of host and port, for example `/run/mysqld/mysqld.sock`.",
            ),
            (&now.socket, ""),
        ),
        needed(make.text("user", ("Usuário", "User"), ("", ""), (&now.user, "backup_user"))),
        make.field("password", ("Senha", "Password"), ("", ""), Input::Secret { kept: now.password.clone() }),
        make.lines(
            "include_schemas",
            ("Bancos incluídos", "Included databases"),
            ("Sem nenhum: todos; novos entram sozinhos.", "None: all; new ones come in by themselves."),
            &now.include_schemas,
        ),
        make.lines(
            "exclude_schemas",
            ("Bancos Excluídos", "Excluded databases"),
            ("`*` vale por qualquer texto.", "`*` stands for any text."),
            &now.exclude_schemas,
        ),
        make.lines(
            "exclude_tables",
            ("Tabelas excluídas", "Excluded tables"),
            ("Ficam de fora, por exemplo `*.tmp_*`.", "Left out whole, for example `*.tmp_*`."),
            &now.exclude_tables,
        ),
        make.lines(
            "exclude_rows",
            ("Tabelas sem linhas", "Tables without rows"),
            (
                "A definição fica, as linhas não: por exemplo `*.sessions`.",
                "The definition is kept, the rows are not: for example `*.sessions`.",
            ),
            &now.exclude_rows,
        ),
    ]
}

/// The fields of a directory, named as its keys.
pub fn directory_fields(now: &Directory, locale: Locale) -> Vec<Field> {
    let make = Maker(locale);
    vec![
        needed(make.text("path", ("Diretório", "Directory"), ("Caminho completo.", "The whole path."), (&now.path, "/var/www/data"))),
        make.lines(
            "exclude",
            ("Exclusões", "Exclusions"),
            (
                "Como no `.gitignore`, a partir do diretório: `cache/`, `*.tmp`, `!manter.tmp`.",
                "As in `.gitignore`, from the directory on: `cache/`, `*.tmp`, `!keep.tmp`.",
            ),
            &now.exclude,
        ),
        make.flag(
            "exclude_caches",
            ("Deixar caches de fora", "Leave caches out"),
            ("Diretórios com um arquivo `CACHEDIR.TAG`.", "Directories with a file `CACHEDIR.TAG`."),
            now.exclude_caches,
        ),
        make.flag(
            "one_file_system",
            ("Ficar no mesmo sistema de arquivos", "Stay on one file system"),
            ("O que estiver montado abaixo fica de fora, com um aviso.", "What is mounted below is left out, with a warning."),
            now.one_file_system,
        ),
        make.text(
            "max_file_size",
            ("Tamanho máximo de um arquivo", "Largest file"),
            ("Maiores ficam de fora, com um aviso: por exemplo `10GiB`.", "Larger ones are left out, with a warning: for example `10GiB`."),
            (&now.max_file_size, ""),
        ),
        make.text(
            "tenant",
            ("Cliente", "Tenant"),
            ("De qual cliente é, se for de um.", "Whose it is, if it is a tenant's."),
            (&now.tenant, ""),
        ),
    ]
}

/// The fields of a job, named as its keys.
pub fn job_fields(now: &Job, locale: Locale) -> Vec<Field> {
    let make = Maker(locale);
    let actions = [
        ("run", "Backup Principal", "Backup"),
        ("verify", "Verificação de Integridade", "Verification"),
        ("prune", "Limpeza de Arquivos", "Clean-up"),
        ("drill", "Teste de restauração", "Restore drill"),
        ("report", "Relatório Mensal", "Monthly report"),
    ];
    let action = |(value, portuguese, english): (&str, &str, &str)| Choice {
        value: value.to_owned(),
        label: locale.pick(portuguese, english).to_owned(),
        chosen: now.action == value,
    };
    vec![
        needed(make.text("name", ("Nome", "Name"), ("", ""), (&now.name, ""))),
        needed(make.field(
            "action",
            ("O que faz", "What it does"),
            ("", ""),
            Input::Choice { choices: actions.into_iter().map(action).collect() },
        )),
        needed(make.text(
            "schedule",
            ("Horário", "Schedule"),
            (
                "Minuto, hora, dia, mês, dia da semana: `0 2 * * *` é todos os dias às 02:00. Ou `@daily`, `@weekly`, `@monthly`.",
                "Minute, hour, day, month, weekday: `0 2 * * *` is every day at 02:00. Or `@daily`, `@weekly`, `@monthly`.",
            ),
            (&now.schedule, "0 2 * * *"),
        )),
        make.text("time_zone", ("Fuso horário", "Time zone"), ("", ""), (&now.time_zone, "America/Sao_Paulo")),
        make.lines(
            "only",
            ("Somente", "Only"),
            ("Bancos ou diretórios; sem nenhum: tudo.", "Databases or directories; none: everything."),
            &now.only,
        ),
        make.lines(
            "not_between",
            ("Não entre", "Not between"),
            ("Por exemplo `08:00-18:00`: começa depois.", "For example `08:00-18:00`: begins after it."),
            &now.not_between,
        ),
        make.text("timeout", ("Tempo máximo", "Longest time"), ("", ""), (&now.timeout, "6h")),
        make.flag(
            "catch_up",
            ("Recuperar execução perdida", "Make good what was missed"),
            ("Executa uma vez depois de um tempo em que nada rodou.", "Runs once after a time in which nothing ran."),
            now.catch_up,
        ),
        make.flag(
            "enabled",
            ("Habilitada", "Enabled"),
            ("Desabilitada, não começa sozinha.", "Disabled, it does not begin by itself."),
            now.enabled,
        ),
    ]
}

/// The field of the name of a destination or notifier.
pub fn name_field(now: &str, locale: Locale) -> Field {
    needed(Maker(locale).text(
        "name",
        ("Nome", "Name"),
        ("Letras, dígitos, `.`, `_` e `-`.", "Letters, digits, `.`, `_` and `-`."),
        (now, ""),
    ))
}

/// The fields of what an instance may reach, named as its keys.
pub fn grant_fields(now: &Grants, locale: Locale) -> Vec<Field> {
    let make = Maker(locale);
    let asks: Vec<String> = now.asks.iter().map(|(target, why)| format!("`{target}` ({why})")).collect();
    let asks = asks.join(", ");
    let mut fields = Vec::new();
    if !now.network.is_empty() || !asks.is_empty() {
        let help = (
            format!("O plug-in pede: {asks}. O que não está aqui ele não alcança."),
            format!("The plug-in asks for: {asks}. What is not here it does not reach."),
        );
        fields.push(make.lines("grants.network", ("Endereços concedidos", "Granted addresses"), (&help.0, &help.1), &now.network));
    }
    if let Some(directory) = &now.directory {
        let label = ("Diretório concedido", "Granted directory");
        let help = ("O único diretório deste servidor que o plug-in vê.", "The one directory of this machine that the plug-in sees.");
        fields.push(make.text("grants.directory", label, help, (directory, "/var/backups/cofre")));
    }
    if let Some(delete) = now.delete {
        let help = ("Sem isto nada é removido ali, nem pela retenção.", "Without it nothing is removed there, not even by retention.");
        fields.push(make.flag("grants.delete", ("Pode excluir backups antigos", "May remove old backups"), help, delete));
    }
    fields
}

/// The fields of what a notifier hears of, named as its keys.
pub fn hearing_fields(now: &Hearing, locale: Locale) -> Vec<Field> {
    let make = Maker(locale);
    let severities = [
        ("", "tudo", "everything"),
        ("warning", "avisos e o que é grave", "warnings and what is critical"),
        ("critical", "só o que é grave", "only what is critical"),
    ];
    let known = |value: &str| severities.iter().any(|(known, ..)| *known == value);
    let severity = |(value, portuguese, english): (&str, &str, &str)| Choice {
        value: value.to_owned(),
        label: locale.pick(portuguese, english).to_owned(),
        chosen: now.min_severity == value || (value.is_empty() && !known(&now.min_severity)),
    };
    let help = (
        "Por exemplo `run.*`, `check.*`; sem nenhum: todos, menos `run.started`.",
        "For example `run.*`, `check.*`; none: all but `run.started`.",
    );
    vec![
        make.lines("events", ("Eventos", "Events"), help, &now.events),
        make.field(
            "min_severity",
            ("Gravidade mínima", "Least severity"),
            ("", ""),
            Input::Choice { choices: severities.into_iter().map(severity).collect() },
        ),
        make.lines(
            "quiet",
            ("Horas de silêncio", "Quiet hours"),
            ("Por exemplo `22:00-07:00`: só o que é grave chega.", "For example `22:00-07:00`: only what is critical comes."),
            &now.quiet,
        ),
    ]
}

/// The fields of retention, named as its keys.
pub fn retention_fields(now: &RetentionRules, locale: Locale) -> Vec<Field> {
    let make = Maker(locale);
    vec![
        make.count("keep_last", ("Últimas versões mantidas sempre", "Newest versions always kept"), &now.keep_last),
        make.text(
            "keep_within",
            ("Manter todos os mais novos que", "Keep all that are younger than"),
            ("Por exemplo `30d`.", "For example `30d`."),
            (&now.keep_within, "30d"),
        ),
        make.count("keep_daily", ("Diários", "Daily"), &now.keep_daily),
        make.count("keep_weekly", ("Semanais", "Weekly"), &now.keep_weekly),
        make.count("keep_monthly", ("Mensais", "Monthly"), &now.keep_monthly),
        make.count("keep_yearly", ("Anuais", "Yearly"), &now.keep_yearly),
        make.text(
            "max_size",
            ("Tamanho máximo por destino", "Most of one destination"),
            ("Acima disto os mais antigos saem primeiro: por exemplo `500GiB`.", "Beyond it the oldest go first: for example `500GiB`."),
            (&now.max_size, ""),
        ),
    ]
}
