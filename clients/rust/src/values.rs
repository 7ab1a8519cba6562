//! What is asked and what is answered, as plain values.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime},
};

use tonic::Code;

/// Attributes or entries of a context, by name.
pub type Object = BTreeMap<String, Value>;

/// A JSON value. Dates, sets and bytes are written as texts and lists.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number. It travels as binary64: one beyond 2^53 - 1 is an error, pass a text.
    Integer(i64),
    /// A number. One that is not finite is an error.
    Number(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// An object.
    Object(Object),
}

macro_rules! value_from {
    ($($kind:ty => $variant:ident),*) => {
        $(impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}
value_from!(bool => Bool, i8 => Integer, i16 => Integer, i32 => Integer, i64 => Integer,
    u8 => Integer, u16 => Integer, u32 => Integer, f32 => Number, f64 => Number,
    &str => Text, String => Text, Object => Object);

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(list: Vec<T>) -> Self {
        Self::List(list.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// What the action is performed on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// The type that the API's policy declares.
    pub r#type: String,
    /// Which one; empty where there is none, as for a collection that is created.
    pub id: String,
    /// The attributes that the type declares.
    pub properties: Object,
}

impl Resource {
    /// Returns a resource without attributes.
    pub fn new(r#type: impl Into<String>, id: impl Into<String>) -> Self {
        let (r#type, id) = (r#type.into(), id.into());
        Self {
            r#type,
            id,
            properties: Object::new(),
        }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.properties.insert(name.into(), value.into());
        self
    }
}

/// What came along with a sender-bound token, as received; the contract's message `SenderProof`
/// says what each field means.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Proof {
    pub dpop_proofs: Vec<String>,
    pub http_method: String,
    pub http_uri: String,
    pub client_certificate_sha256: String,
}

/// Whether the bearer of a token may do an action to a resource.
#[derive(Clone, Default, PartialEq)]
pub struct Question {
    /// The access token. It may come with its scheme, `Bearer `, and with white space around it.
    pub token: String,
    /// The API's name or one of its audiences; empty only where the daemon has a `default_api`.
    pub api: String,
    /// The action, as the resource's type declares it.
    pub action: String,
    /// What it is done to.
    pub resource: Resource,
    /// Facts about the call itself that the API's policy declares.
    pub context: Object,
    /// For sender-bound tokens.
    pub proof: Option<Proof>,
    /// The caller's own name for the request, for the decision log.
    pub request_id: String,
}

/// Several questions about one token at one API; the fields are those of [`Question`].
#[derive(Clone, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Batch {
    pub token: String,
    pub api: String,
    pub items: Vec<Item>,
    pub context: Object,
    pub proof: Option<Proof>,
    pub request_id: String,
}

/// One question of a [`Batch`].
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Item {
    pub action: String,
    pub resource: Resource,
}

// Neither shows its token: what is printed may end up in a log.
impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("api", &self.api)
            .field("action", &self.action)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("api", &self.api)
            .field("items", &self.items)
            .finish_non_exhaustive()
    }
}

/// What came of one question: an answer, or why there is none.
pub type Outcome = Result<Answer, Error>;

/// On whose behalf a token acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubjectKind {
    /// A user.
    User,
    /// The application itself.
    Application,
}

/// Whom a verified token names: by issuer and subject together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct Subject {
    pub subject: String,
    pub issuer: String,
    pub client: String,
    /// `None` where the token does not tell.
    pub kind: Option<SubjectKind>,
    /// That the token grants.
    pub scopes: Vec<String>,
    pub scopes_truncated: bool,
    /// When the token expires; `None` where it does not tell.
    pub expires_at: Option<SystemTime>,
    /// Who acts for the subject; empty where nobody does.
    pub actor: String,
}

/// What is certain of a question of which some facts are unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// It is allowed, whatever is unknown.
    Allow,
    /// It is denied, whatever is unknown.
    Deny,
    /// It depends on what is unknown, or may depend on it.
    Maybe,
}

/// The answer to a question of which some facts are unknown. A menu shows what is not
/// [`Certainty::Deny`]. Its `answer` allows with [`Certainty::Allow`] alone: before acting on a
/// maybe, ask again with what is known by then.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a menu shows what is not denied"]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct PartialAnswer {
    pub outcome: Certainty,
    pub depends_on: Vec<String>,
    pub search_stopped: bool,
    pub answer: Answer,
}

/// The daemon's decision. Act on `allowed` alone; the contract's message `CheckResponse` says what
/// each field means. The default denies.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "access is granted by `allowed`"]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct Answer {
    pub allowed: bool,
    pub reason: String,
    pub message: String,
    pub rules: Vec<String>,
    pub rules_truncated: bool,
    pub missing_scopes: Vec<String>,
    pub unknown_facts: Vec<String>,
    pub http_status: i32,
    pub www_authenticate: String,
    pub retry_after: Duration,
    pub dpop_nonce: String,
    /// `None` where no token was verified.
    pub subject: Option<Subject>,
    /// Until when the answer may be kept; `None`: not at all.
    pub cacheable_until: Option<SystemTime>,
    pub decision_id: String,
    pub policy_revision: String,
    pub policy_commit: String,
    pub search_stopped: bool,
}

impl Answer {
    /// Returns the header fields that go with any response, also where access is allowed.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let nonce = ("DPoP-Nonce", self.dpop_nonce.clone());
        if self.dpop_nonce.is_empty() {
            vec![]
        } else {
            vec![nonce]
        }
    }
}

/// Why there is no answer. It is no permission.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Error {
    /// gRPC's code.
    pub code: Code,
    /// policyd's own reason, such as `UNKNOWN_API`; empty where it gave none.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Error {
    pub(crate) fn new(code: Code, reason: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

/// The HTTP response to a caller who is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The status, from 400.
    pub status: u16,
    /// Header fields.
    pub headers: Vec<(&'static str, String)>,
    /// policyd's reason, or `AUTHORIZATION_UNAVAILABLE` where there is no answer.
    pub reason: String,
    /// For people.
    pub message: String,
}

const RETRY_AFTER: u32 = 5;

/// Returns the response that goes with an outcome; `None` only for an answer that allows.
///
/// A deny becomes the status and the challenge that the daemon made. No answer becomes 503 where
/// waiting may help, else 500.
#[must_use]
pub fn refusal(outcome: &Outcome) -> Option<Refusal> {
    match outcome {
        Ok(answer) if answer.allowed => None,
        Ok(answer) => Some(denied(answer)),
        Err(error) => Some(unanswered(error)),
    }
}

fn denied(answer: &Answer) -> Refusal {
    let mut headers = answer.headers();
    if !answer.www_authenticate.is_empty() {
        headers.push(("WWW-Authenticate", answer.www_authenticate.clone()));
    }
    if !answer.retry_after.is_zero() {
        headers.push(("Retry-After", answer.retry_after.as_secs().to_string()));
    }
    // Whatever an answer says besides, a deny is no success.
    let status = u16::try_from(answer.http_status)
        .ok()
        .filter(|status| *status >= 400);
    Refusal {
        status: status.unwrap_or(403),
        headers,
        reason: answer.reason.clone(),
        message: answer.message.clone(),
    }
}

fn unanswered(error: &Error) -> Refusal {
    let passing = matches!(
        error.code,
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled
    );
    Refusal {
        status: if passing { 503 } else { 500 },
        headers: if passing {
            vec![("Retry-After", RETRY_AFTER.to_string())]
        } else {
            vec![]
        },
        reason: "AUTHORIZATION_UNAVAILABLE".to_owned(),
        message: "no decision could be made".to_owned(),
    }
}
