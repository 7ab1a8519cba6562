//! Plain values to messages of `policyd.v1`, and back. What JSON lacks is an error, never guessed.

use std::{
    error::Error as _,
    hash::{BuildHasher, RandomState},
    time::{Duration, SystemTime},
};

use tonic::{Code, Status};
use tonic_types::{RpcStatusExt, StatusExt};

use crate::{
    Answer, Batch, Certainty, Error, Object, Outcome, PartialAnswer, Proof, Question, Resource,
    Subject, SubjectKind, Value, proto,
};

/// The daemon's own bound.
const DEEPEST: usize = 32;
/// The greatest integer that binary64 and all below it hold exactly.
const GREATEST: u64 = (1 << 53) - 1;

pub(crate) fn check_request(question: &Question) -> Result<proto::CheckRequest, Error> {
    Ok(proto::CheckRequest {
        access_token: bare_token(&question.token)?,
        api: question.api.clone(),
        action: question.action.clone(),
        resource: Some(resource(&question.resource)?),
        context: Some(context(&question.context)?),
        request_id: request_id(&question.request_id, question.proof.as_ref()),
        proof: question.proof.as_ref().map(proof),
    })
}

pub(crate) fn batch_check_request(batch: &Batch) -> Result<proto::BatchCheckRequest, Error> {
    let item = |item: &crate::Item| {
        let resource = Some(resource(&item.resource)?);
        Ok(proto::BatchCheckItem {
            id: String::new(),
            action: item.action.clone(),
            resource,
        })
    };
    Ok(proto::BatchCheckRequest {
        access_token: bare_token(&batch.token)?,
        api: batch.api.clone(),
        context: Some(context(&batch.context)?),
        proof: batch.proof.as_ref().map(proof),
        items: batch.items.iter().map(item).collect::<Result<_, _>>()?,
        request_id: request_id(&batch.request_id, batch.proof.as_ref()),
    })
}

pub(crate) fn partial_check_request(
    question: &Question,
    unknown: &[&str],
) -> Result<proto::PartialCheckRequest, Error> {
    let known = check_request(question)?;
    Ok(proto::PartialCheckRequest {
        access_token: known.access_token,
        api: known.api,
        action: known.action,
        resource: known.resource,
        context: known.context,
        request_id: known.request_id,
        proof: known.proof,
        assumed_unknown: names(unknown),
    })
}

pub(crate) fn batch_partial_check_request(
    batch: &Batch,
    unknown: &[&str],
) -> Result<proto::BatchPartialCheckRequest, Error> {
    let known = batch_check_request(batch)?;
    Ok(proto::BatchPartialCheckRequest {
        access_token: known.access_token,
        api: known.api,
        context: known.context,
        proof: known.proof,
        items: known.items,
        request_id: known.request_id,
        assumed_unknown: names(unknown),
    })
}

fn names(unknown: &[&str]) -> Vec<String> {
    unknown.iter().map(ToString::to_string).collect()
}

/// Takes off `Bearer ` and white space: a file that holds a token ends in a newline, and a header
/// field begins with its scheme (RFC 6750, section 2.1). What else is wrong the daemon says.
fn bare_token(given: &str) -> Result<String, Error> {
    let token = given.trim();
    match token.split_once(' ') {
        _ if token.eq_ignore_ascii_case("bearer") => Ok(String::new()),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => Ok(rest.trim().to_owned()),
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("dpop") => Err(Error::new(
            Code::InvalidArgument,
            "TOKEN_MALFORMED",
            "the token has `DPoP ` before it: pass what follows, and the request's DPoP header \
             fields as `proof`",
        )),
        _ => Ok(token.to_owned()),
    }
}

/// Names a request with a proof: a repetition of the call is no second use of the proof.
fn request_id(given: &str, proof: Option<&Proof>) -> String {
    if !given.is_empty() || proof.is_none() {
        return given.to_owned();
    }
    // The keys of each `RandomState` come of the system's randomness.
    let half = || RandomState::new().hash_one(SystemTime::now());
    format!("{:016x}{:016x}", half(), half())
}

fn resource(resource: &Resource) -> Result<proto::Resource, Error> {
    let what = format!("`{}` attribute", resource.r#type);
    Ok(proto::Resource {
        r#type: resource.r#type.clone(),
        id: resource.id.clone(),
        properties: Some(structure(&resource.properties, &what, "ATTRIBUTE_INVALID")?),
    })
}

fn context(context: &Object) -> Result<prost_types::Struct, Error> {
    structure(context, "context entry", "CONTEXT_INVALID")
}

fn proof(proof: &Proof) -> proto::SenderProof {
    proto::SenderProof {
        dpop_proofs: proof.dpop_proofs.clone(),
        http_method: proof.http_method.clone(),
        http_uri: proof.http_uri.clone(),
        client_certificate_sha256: proof.client_certificate_sha256.clone(),
    }
}

/// What is wrong with a value, and the path to it within the attribute.
struct Unsupported(String, String);

fn structure(values: &Object, what: &str, reason: &str) -> Result<prost_types::Struct, Error> {
    let field = |(name, given): (&String, &Value)| match value(given, "", 1) {
        Ok(found) => Ok((name.clone(), found)),
        Err(Unsupported(path, problem)) => {
            let message = format!("{what} `{name}{path}` is {problem}");
            Err(Error::new(Code::InvalidArgument, reason, message))
        }
    };
    Ok(prost_types::Struct {
        fields: values.iter().map(field).collect::<Result<_, _>>()?,
    })
}

fn value(given: &Value, path: &str, depth: usize) -> Result<prost_types::Value, Unsupported> {
    use prost_types::value::Kind;
    if depth > DEEPEST {
        return Err(Unsupported(
            String::new(),
            format!("nested deeper than {DEEPEST} levels"),
        ));
    }
    let kind = match given {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        Value::Integer(value) if value.unsigned_abs() > GREATEST => {
            let problem = format!("{value}, which binary64 does not hold exactly: pass a text");
            return Err(Unsupported(path.to_owned(), problem));
        }
        #[allow(clippy::cast_precision_loss)] // see above
        Value::Integer(value) => Kind::NumberValue(*value as f64),
        Value::Number(value) if !value.is_finite() => {
            let problem = format!("{value}, which JSON does not have");
            return Err(Unsupported(path.to_owned(), problem));
        }
        Value::Number(value) => Kind::NumberValue(*value),
        Value::Text(value) => Kind::StringValue(value.clone()),
        Value::List(list) => {
            let inner = |(at, one)| value(one, &format!("{path}[{at}]"), depth + 1);
            let values = list
                .iter()
                .enumerate()
                .map(inner)
                .collect::<Result<_, _>>()?;
            Kind::ListValue(prost_types::ListValue { values })
        }
        Value::Object(object) => {
            let inner = |(name, one): (&String, &Value)| {
                Ok((
                    name.clone(),
                    value(one, &format!("{path}.{name}"), depth + 1)?,
                ))
            };
            let fields = object.iter().map(inner).collect::<Result<_, _>>()?;
            Kind::StructValue(prost_types::Struct { fields })
        }
    };
    Ok(prost_types::Value { kind: Some(kind) })
}

pub(crate) fn answer(response: proto::CheckResponse) -> Answer {
    Answer {
        allowed: response.allowed,
        reason: response.reason,
        message: response.message,
        rules: response.rules,
        rules_truncated: response.rules_truncated,
        missing_scopes: response.missing_scopes,
        unknown_facts: response.unknown_facts,
        http_status: response.http_status,
        www_authenticate: response.www_authenticate,
        retry_after: Duration::from_secs(response.retry_after_seconds.max(0).unsigned_abs().into()),
        dpop_nonce: response.dpop_nonce,
        subject: response.subject.map(subject),
        cacheable_until: response
            .cacheable_until
            .and_then(|until| until.try_into().ok()),
        decision_id: response.decision_id,
        policy_revision: response.policy_revision,
        policy_commit: response.policy_commit,
        search_stopped: response.search_stopped,
    }
}

fn subject(subject: proto::Subject) -> Subject {
    let kind = match subject.kind() {
        proto::SubjectKind::User => Some(SubjectKind::User),
        proto::SubjectKind::Application => Some(SubjectKind::Application),
        proto::SubjectKind::Unspecified => None,
    };
    Subject {
        subject: subject.subject,
        issuer: subject.issuer,
        client: subject.client,
        kind,
        scopes: subject.scopes,
        scopes_truncated: subject.scopes_truncated,
        expires_at: subject.expires_at.and_then(|time| time.try_into().ok()),
        actor: subject.actor,
    }
}

pub(crate) fn partial_answer(response: proto::PartialCheckResponse) -> PartialAnswer {
    let outcome = match response.outcome() {
        proto::PartialOutcome::Allow => Certainty::Allow,
        proto::PartialOutcome::Deny => Certainty::Deny,
        // One that this client does not know is to be shown, and never to be allowed.
        proto::PartialOutcome::Maybe | proto::PartialOutcome::Unspecified => Certainty::Maybe,
    };
    PartialAnswer {
        outcome,
        depends_on: response.depends_on,
        search_stopped: response.search_stopped,
        answer: answer(response.response.unwrap_or_default()),
    }
}

pub(crate) fn outcome(result: proto::BatchCheckResult) -> Outcome {
    use proto::batch_check_result::Outcome as Of;
    match result.outcome {
        Some(Of::Response(response)) => Ok(answer(response)),
        Some(Of::Error(status)) => Err(item_failed(status)),
        None => Err(empty()),
    }
}

pub(crate) fn partial_outcome(
    result: proto::BatchPartialCheckResult,
) -> Result<PartialAnswer, Error> {
    use proto::batch_partial_check_result::Outcome as Of;
    match result.outcome {
        Some(Of::Response(response)) => Ok(partial_answer(response)),
        Some(Of::Error(status)) => Err(item_failed(status)),
        None => Err(empty()),
    }
}

fn empty() -> Error {
    Error::new(Code::Unknown, "", "the answer is empty")
}

fn item_failed(status: tonic_types::pb::Status) -> Error {
    let reason = status
        .get_details_error_info()
        .map_or_else(String::new, |info| info.reason);
    Error::new(not_ok(Code::from(status.code)), &reason, status.message)
}

pub(crate) fn failed(status: &Status) -> Error {
    let reason = status
        .get_details_error_info()
        .map_or_else(String::new, |info| info.reason);
    let code = if unavailable(status) {
        Code::Unavailable
    } else {
        not_ok(status.code())
    };
    Error::new(code, &reason, status.message())
}

/// Whether the daemon could not be reached.
///
/// A status with a source was made here, of an error of the connection: tonic has other codes for
/// one that breaks after the handshake, as it does where the daemon wants another certificate.
pub(crate) fn unavailable(status: &Status) -> bool {
    let broken = matches!(status.code(), Code::Cancelled | Code::Unknown);
    status.code() == Code::Unavailable || (broken && status.source().is_some())
}

/// An error that says that all is well is no answer either.
fn not_ok(code: Code) -> Code {
    if code == Code::Ok {
        Code::Unknown
    } else {
        code
    }
}
