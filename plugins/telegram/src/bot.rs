//! The service's calls: JSON or a form to a method, `{"ok": …}` back ("Making requests"), and what its refusals mean.

use std::time::Duration;

use cofre_plugin_http_notifier::{Answer, Form, Hidden, post_json};
use cofre_sdk::http::Request;
use cofre_sdk::{Error, ErrorKind, Result, Secret};
use serde::Deserialize;
use serde_json::{Value, json};

/// A bot with its token.
#[derive(Debug)]
pub(crate) struct Bot {
    server: String,
    token: Secret,
    hidden: Hidden,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    ok: bool,
    description: String,
    parameters: Parameters,
    result: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
}

impl Bot {
    pub(crate) fn new(server: String, token: &Secret) -> Result<Self> {
        let text = token.expose().trim();
        let (id, secret) = text.split_once(':').unwrap_or_default();
        let is_secret = !secret.is_empty() && secret.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"-_".contains(&letter));
        if id.parse::<u64>().is_err() || !is_secret {
            return Err(Error::invalid_config("the secret `token` is none of a bot; @BotFather gives one, as `123456:ABC…`"));
        }
        let (token, part) = (Secret::new(text), Secret::new(secret));
        Ok(Self { server, hidden: Hidden::new([&token, &part]), token })
    }

    /// Calls a method with JSON.
    pub(crate) fn call(&self, method: &str, argument: &Value) -> Result<Value> {
        result(&post_json(self.request(method), argument, &self.hidden)?)
    }

    /// Calls a method with files.
    pub(crate) fn upload(&self, method: &str, form: Form) -> Result<Value> {
        result(&Answer::read(form.send(self.request(method))?, &self.hidden)?)
    }

    /// Proves the token.
    pub(crate) fn is_a_bot(&self) -> Result<()> {
        self.call("getMe", &json!({})).map(drop)
    }

    fn request(&self, method: &str) -> Request {
        Request::post(format!("{}/bot{}/{method}", self.server, self.token.expose()))
    }
}

fn result(answer: &Answer) -> Result<Value> {
    let said: Said = answer.json().unwrap_or_default();
    if answer.is_success() && said.ok {
        return Ok(said.result);
    }
    Err(refused(answer, &said))
}

fn refused(answer: &Answer, said: &Said) -> Error {
    let words = said.description.as_str();
    let has = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    let error = match answer.status {
        // A token that is no token at all is not found.
        401 | 404 => answer.refused_as(ErrorKind::AccessDenied, words, Some("check the secret `token`; @BotFather shows it")),
        403 => answer
            .refused(words, Some("the bot must be a member of the chat, may write there, and a person must have begun to talk with it")),
        400 if has(&["chat not found", "CHAT_ID_INVALID", "chat_id is empty"]) => {
            answer.refused_as(ErrorKind::InvalidConfig, words, Some("check the chat's number or name, and add the bot to it"))
        }
        400 if has(&["message thread not found"]) => answer.refused_as(ErrorKind::InvalidConfig, words, Some("check `topic`")),
        400 if has(&["not enough rights"]) => answer.refused_as(ErrorKind::AccessDenied, words, Some("let the bot write in the chat")),
        400 if said.parameters.migrate_to_chat_id.is_some() => {
            let now = said.parameters.migrate_to_chat_id.unwrap_or_default();
            answer.refused_as(ErrorKind::InvalidConfig, words, Some(&format!("the group is now {now}; write that number")))
        }
        200..=299 => answer.refused_as(ErrorKind::Other, "what it said is no answer of a Bot API", Some("check `server`")),
        _ => answer.refused(words, None),
    };
    match said.parameters.retry_after {
        Some(seconds) => error.retry_after(Some(Duration::from_secs(seconds))),
        None => error,
    }
}
