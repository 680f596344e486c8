//! What is shown instead of a page: no permission, nothing there, something failed.

use askama::Template;

use super::frame::Frame;
use super::written;

/// What went wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 400: a form that cannot be read, or one that is too old.
    Request,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 405
    Method,
    /// 409: something else was quicker.
    Conflict,
    /// 413
    TooLarge,
    /// 429
    TooMany,
    /// 500
    Internal,
    /// 503
    Busy,
}

/// A page of an error.
#[derive(Debug, Clone)]
pub struct ErrorView {
    /// What went wrong.
    pub fault: Fault,
    /// What else may be said: a scope that is missing, a sentence. No secret, no path of a source file.
    pub detail: Option<String>,
    /// The number under which the log tells more.
    pub trace: Option<String>,
}

#[derive(Template)]
#[template(path = "page/error.html")]
struct Page<'a> {
    frame: &'a Frame,
    view: &'a ErrorView,
    title: &'a str,
    what: &'a str,
}

/// The page as HTML; its status is [`Fault::status`].
pub fn render(frame: &Frame, view: &ErrorView) -> String {
    let ((title_pt, title_en), (what_pt, what_en)) = view.fault.words();
    written(&Page { frame, view, title: frame.t(title_pt, title_en), what: frame.t(what_pt, what_en) })
}

impl Fault {
    /// Its status.
    pub fn status(self) -> u16 {
        match self {
            Self::Request => 400,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Method => 405,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::TooMany => 429,
            Self::Internal => 500,
            Self::Busy => 503,
        }
    }

    fn words(self) -> ((&'static str, &'static str), (&'static str, &'static str)) {
        match self {
            Self::Request => (
                ("O pedido não foi entendido", "The request was not understood"),
                (
                    "O formulário não está completo, ou é de uma sessão anterior. Volte, recarregue a página e envie de novo.",
                    "The form is not whole, or of an earlier session. Go back, reload the page and send it again.",
                ),
            ),
            Self::Forbidden => (
                ("Sem permissão", "Not permitted"),
                (
                    "Seu papel não permite isto. Um administrador pode mudá-lo em Usuários.",
                    "Your role does not permit this. An administrator can change it under Users.",
                ),
            ),
            Self::NotFound => (
                ("Não encontrado", "Not found"),
                (
                    "Não há nada neste endereço. Pode ter sido removido pela retenção, ou o endereço está incompleto.",
                    "There is nothing at this address. Retention may have removed it, or the address is not whole.",
                ),
            ),
            Self::Method => (
                ("Não é possível assim", "Not like this"),
                ("Este endereço não aceita este tipo de pedido.", "This address does not take this kind of request."),
            ),
            Self::Conflict => (
                ("Algo mudou nesse meio tempo", "Something changed meanwhile"),
                (
                    "Outra pessoa ou tarefa foi mais rápida. Recarregue a página e veja como está agora.",
                    "Somebody or something else was quicker. Reload the page and see how it is now.",
                ),
            ),
            Self::TooLarge => {
                (("Grande demais", "Too large"), ("O que foi enviado é maior do que se aceita.", "What was sent is larger than is taken."))
            }
            Self::TooMany => {
                (("Pedidos demais", "Too many requests"), ("Aguarde um pouco e tente de novo.", "Wait a little and try again."))
            }
            Self::Internal => (
                ("Algo falhou no cofre", "Something failed in cofre"),
                (
                    "Os backups não dependem desta página e seguem no horário. O log diz o que houve.",
                    "The backups do not depend on this page and go on at their time. The log says what happened.",
                ),
            ),
            Self::Busy => (
                ("Ocupado", "Busy"),
                (
                    "O cofre está iniciando ou ocupado demais. Tente de novo em instantes.",
                    "cofre is starting, or too busy. Try again in a moment.",
                ),
            ),
        }
    }
}
