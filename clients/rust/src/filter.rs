//! Filters: on which resources an action is allowed, as a condition on their attributes.

use std::time::SystemTime;

use tonic::Code;

use crate::{Answer, Error, Question, messages, proto};

/// What is certain of all resources of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterOutcome {
    /// No resource.
    None,
    /// Those of which the condition is true.
    Some,
    /// All that have the attributes that their type declares.
    All,
}

/// On which resources an action is allowed; the contract's message `FilterResponse` says what each
/// field means. Nothing may be decided by it from `valid_until` on, and where that is `None` it is
/// used once, at once.
///
/// A resource is allowed when `condition`, which there is with [`FilterOutcome::Some`] alone, is true
/// of it, and all `attributes` are as they are declared: one that is not `optional` has a value, and
/// where there are `values`, it is one of these or holds no others. A test of an attribute without a
/// value is unknown, and so a filter must not be written for a database by two-valued logic.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a filter belongs into a query"]
#[non_exhaustive]
pub struct Filter {
    /// What is certain.
    pub outcome: FilterOutcome,
    /// On the attributes of a resource.
    pub condition: Option<FilterCondition>,
    /// What a resource of the type has.
    pub attributes: Vec<FilterAttribute>,
    /// Until when it stands.
    pub valid_until: Option<SystemTime>,
    /// As a partial check gives it with all of the resource unknown.
    pub answer: Answer,
}

/// What a resource of the type has; `type` is that of the contract in lower case: `set_of_string`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct FilterAttribute {
    pub name: String,
    pub r#type: String,
    pub optional: bool,
    pub values: Vec<String>,
}

/// A condition on a resource.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FilterCondition {
    /// All of these are true.
    All(Vec<FilterCondition>),
    /// One of these is true.
    Any(Vec<FilterCondition>),
    /// This is false.
    Not(Box<FilterCondition>),
    /// The condition is true of one element of an attribute that is a list of records.
    HasSome(String, Box<FilterCondition>),
    /// A test; its operator is that of the contract in lower case, such as `starts_with`.
    Test(String, Option<FilterOperand>, Option<FilterOperand>),
}

/// What a test compares, and its type.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FilterOperand {
    /// An attribute of the resource, by its name.
    Attribute(String, String),
    /// A field of an element, in the condition of a `HasSome`.
    Field(String, String),
    /// A value.
    Value(FilterValue, String),
}

/// A value of a test.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FilterValue {
    /// A text, a decimal number, an address or a block.
    Text(String),
    /// A whole number, or a moment in seconds since 1970.
    Number(i64),
    /// True or false.
    Truth(bool),
    /// The elements of a set.
    Set(Vec<FilterValue>),
}

pub(crate) fn request(question: &Question) -> Result<proto::FilterRequest, Error> {
    let known = messages::check_request(question)?;
    Ok(proto::FilterRequest {
        access_token: known.access_token,
        api: known.api,
        action: known.action,
        resource_type: question.resource.r#type.clone(),
        context: known.context,
        request_id: known.request_id,
        proof: known.proof,
    })
}

/// An outcome that is not known is none.
pub(crate) fn filter(response: proto::FilterResponse) -> Result<Filter, Error> {
    let outcome = match response.outcome() {
        proto::FilterOutcome::All => FilterOutcome::All,
        proto::FilterOutcome::Some => FilterOutcome::Some,
        proto::FilterOutcome::None | proto::FilterOutcome::Unspecified => FilterOutcome::None,
    };
    let condition = match outcome {
        FilterOutcome::Some => Some(condition(response.condition)?),
        FilterOutcome::All | FilterOutcome::None => None,
    };
    let attribute = |one: proto::FilterAttribute| {
        Ok(FilterAttribute {
            r#type: type_name(one.r#type)?,
            name: one.name,
            optional: one.optional,
            values: one.values,
        })
    };
    Ok(Filter {
        outcome,
        condition,
        attributes: response
            .attributes
            .into_iter()
            .map(attribute)
            .collect::<Result<_, Error>>()?,
        valid_until: response.valid_until.and_then(|time| time.try_into().ok()),
        answer: messages::answer(response.response.unwrap_or_default()),
    })
}

fn condition(message: Option<proto::FilterCondition>) -> Result<FilterCondition, Error> {
    use proto::filter_condition::Kind;
    match message.and_then(|one| one.kind) {
        Some(Kind::All(list)) => Ok(FilterCondition::All(conditions(list)?)),
        Some(Kind::Any(list)) => Ok(FilterCondition::Any(conditions(list)?)),
        Some(Kind::Negated(inner)) => Ok(FilterCondition::Not(Box::new(condition(Some(*inner))?))),
        Some(Kind::HasSome(found)) => Ok(FilterCondition::HasSome(
            found.attribute,
            Box::new(condition(found.condition.map(|one| *one))?),
        )),
        Some(Kind::Test(found)) => test(found),
        None => Err(unknown("a condition")),
    }
}

fn conditions(list: proto::FilterConditions) -> Result<Vec<FilterCondition>, Error> {
    if list.conditions.is_empty() {
        return Err(unknown("an empty list of conditions"));
    }
    list.conditions
        .into_iter()
        .map(|one| condition(Some(one)))
        .collect()
}

fn test(found: proto::FilterTest) -> Result<FilterCondition, Error> {
    let operator = match proto::FilterOperator::try_from(found.operator) {
        Ok(known) if found.operator != 0 => lower(known.as_str_name(), "FILTER_OPERATOR_"),
        _ => return Err(unknown("a test")),
    };
    Ok(FilterCondition::Test(
        operator,
        found.left.map(operand).transpose()?,
        found.right.map(operand).transpose()?,
    ))
}

fn operand(message: proto::FilterOperand) -> Result<FilterOperand, Error> {
    use proto::filter_operand::Kind;
    let of = type_name(message.r#type)?;
    match message.kind {
        Some(Kind::Attribute(name)) => Ok(FilterOperand::Attribute(name, of)),
        Some(Kind::Field(name)) => Ok(FilterOperand::Field(name, of)),
        Some(Kind::Value(found)) => Ok(FilterOperand::Value(value(found)?, of)),
        None => Err(unknown("an operand")),
    }
}

fn value(message: proto::FilterValue) -> Result<FilterValue, Error> {
    use proto::filter_value::Kind;
    match message.kind {
        Some(Kind::Text(text)) => Ok(FilterValue::Text(text)),
        Some(Kind::Number(number)) => Ok(FilterValue::Number(number)),
        Some(Kind::Truth(truth)) => Ok(FilterValue::Truth(truth)),
        Some(Kind::Set(set)) => Ok(FilterValue::Set(
            set.values
                .into_iter()
                .map(value)
                .collect::<Result<_, _>>()?,
        )),
        None => Err(unknown("a value")),
    }
}

fn type_name(number: i32) -> Result<String, Error> {
    match proto::FilterType::try_from(number) {
        Ok(known) if number != 0 => Ok(lower(known.as_str_name(), "FILTER_TYPE_")),
        _ => Err(unknown("a type")),
    }
}

fn lower(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_ascii_lowercase()
}

/// What only a newer client knows: without it, a filter is another.
fn unknown(what: &str) -> Error {
    let said = format!("the filter has {what} that this client does not know");
    Error::new(Code::Unknown, "", said)
}
