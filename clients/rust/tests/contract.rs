//! The cases that all clients share, against a daemon: see `../contract/README.md`.

use std::{
    env, fs,
    time::{Duration, SystemTime},
};

use policyd_client::{
    Answer, Batch, Certainty, Client, Code, Error, Filter, FilterCondition, FilterOperand,
    FilterOutcome, FilterValue, Item, Object, Outcome, PartialAnswer, Proof, Question, Resource,
    SubjectKind, Value, refusal,
};
use serde_json::{Value as Json, json};

fn read(path: &str) -> Json {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Returns where the daemon is, and the cases; `None` where nobody started one.
fn site() -> Option<(Json, Json)> {
    let Ok(path) = env::var("POLICYD_CONTRACT") else {
        eprintln!("skipped: `make interop` starts the daemon and names it in POLICYD_CONTRACT");
        return None;
    };
    let site = read(&path);
    let cases = read(text(&site["cases"]));
    Some((site, cases))
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}

fn texts(value: &Json) -> Vec<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| text(one).to_owned())
        .collect()
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn token(site: &Json, template: &Json) -> String {
    let tokens = site["tokens"].as_object().unwrap();
    tokens
        .iter()
        .fold(text(template).to_owned(), |made, (name, token)| {
            made.replace(&format!("{{{name}}}"), text(token))
        })
}

/// Replaces `{"$native": KIND}` by what Rust has and JSON lacks; `None` where its types lack it too.
fn native(value: &Json) -> Option<Value> {
    Some(match value {
        Json::Null => Value::Null,
        Json::Bool(value) => (*value).into(),
        Json::Number(value) => value
            .as_i64()
            .map_or_else(|| value.as_f64().into(), Value::Integer),
        Json::String(value) => value.as_str().into(),
        Json::Array(list) => Value::List(list.iter().map(native).collect::<Option<_>>()?),
        Json::Object(object) if object.contains_key("$native") => match text(&object["$native"]) {
            "nan" => f64::NAN.into(),
            "infinity" => f64::INFINITY.into(),
            "big-integer" => ((1i64 << 53) + 1).into(),
            "deep" => (0..40).fold(Value::Null, |inner, _| {
                Object::from([("x".into(), inner)]).into()
            }),
            "bytes" | "date" | "set" | "broken-text" => return None,
            kind => panic!("a new kind of value: {kind}"),
        },
        Json::Object(_) => Value::Object(properties(value)?),
    })
}

fn properties(value: &Json) -> Option<Object> {
    let fields = value.as_object().into_iter().flatten();
    fields
        .map(|(name, value)| Some((name.clone(), native(value)?)))
        .collect()
}

fn resource(value: &Json) -> Option<Resource> {
    let mut made = Resource::new(text(&value["type"]), text(&value["id"]));
    made.properties = properties(&value["properties"])?;
    Some(made)
}

fn proof(value: &Json) -> Proof {
    Proof {
        dpop_proofs: texts(&value["dpop_proofs"]),
        http_method: text(&value["http_method"]).to_owned(),
        http_uri: text(&value["http_uri"]).to_owned(),
        client_certificate_sha256: text(&value["client_certificate_sha256"]).to_owned(),
    }
}

fn judge(case: &Json, got: &Outcome) {
    match got {
        Ok(answer) => judge_answer(&case["answer"], answer),
        Err(error) => judge_error(&case["error"], error),
    }
    let refused = refusal(got);
    assert_eq!(refused.is_some(), case.get("refusal").is_some());
    if let Some(refused) = refused {
        let want = &case["refusal"];
        assert_eq!(Json::from(refused.status), want["status"]);
        let headers = refused
            .headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()));
        assert_eq!(Json::Object(headers.collect()), want["headers"]);
    }
}

fn judge_partial(case: &Json, got: Result<PartialAnswer, Error>) {
    if let Ok(partial) = &got {
        let outcome = match partial.outcome {
            Certainty::Allow => "allow",
            Certainty::Deny => "deny",
            Certainty::Maybe => "maybe",
        };
        assert_eq!(outcome, text(&case["partial"]["outcome"]));
        assert_eq!(partial.depends_on, texts(&case["partial"]["depends_on"]));
    }
    judge(case, &got.map(|partial| partial.answer));
}

fn judge_filter(case: &Json, got: Result<Filter, Error>) {
    if let Ok(filter) = &got {
        let want = &case["filter"];
        let outcome = match filter.outcome {
            FilterOutcome::None => "none",
            FilterOutcome::Some => "some",
            FilterOutcome::All => "all",
            _ => "",
        };
        assert_eq!(outcome, text(&want["outcome"]));
        let condition = filter.condition.as_ref().map_or(Json::Null, shape);
        assert_eq!(condition, want["condition"]);
        let attributes = list(&want["attributes"]);
        assert_eq!(filter.attributes.len(), attributes.len());
        for (got, want) in filter.attributes.iter().zip(attributes) {
            assert_eq!(
                (got.name.as_str(), got.r#type.as_str()),
                (text(&want["name"]), text(&want["type"]))
            );
            assert_eq!(got.optional, want["optional"].as_bool().unwrap_or_default());
            assert_eq!(got.values, texts(&want["values"]));
        }
        if let Some(cacheable) = case["answer"]["cacheable"].as_bool() {
            assert_eq!(filter.valid_until.is_some(), cacheable);
        }
    }
    judge(case, &got.map(|filter| filter.answer));
}

/// A condition as the cases write it.
fn shape(condition: &FilterCondition) -> Json {
    let several = |list: &[FilterCondition]| list.iter().map(shape).collect::<Vec<_>>();
    match condition {
        FilterCondition::All(list) => json!({"all": several(list)}),
        FilterCondition::Any(list) => json!({"any": several(list)}),
        FilterCondition::Not(inner) => json!({"not": shape(inner)}),
        FilterCondition::HasSome(attribute, inner) => {
            json!({"has_some": attribute, "of": shape(inner)})
        }
        FilterCondition::Test(operator, left, right) => {
            let mut made = json!({"test": operator});
            for (name, one) in [("left", left), ("right", right)] {
                if let Some(one) = one {
                    made[name] = operand(one);
                }
            }
            made
        }
        _ => Json::Null,
    }
}

fn operand(given: &FilterOperand) -> Json {
    match given {
        FilterOperand::Attribute(name, of) => json!({"attribute": name, "type": of}),
        FilterOperand::Field(name, of) => json!({"field": name, "type": of}),
        FilterOperand::Value(found, of) => json!({"value": value(found), "type": of}),
        _ => Json::Null,
    }
}

fn value(given: &FilterValue) -> Json {
    match given {
        FilterValue::Text(text) => json!(text),
        FilterValue::Number(number) => json!(number),
        FilterValue::Truth(truth) => json!(truth),
        FilterValue::Set(values) => values.iter().map(value).collect(),
        _ => Json::Null,
    }
}

fn judge_answer(want: &Json, got: &Answer) {
    assert_eq!(Some(got.allowed), want["allowed"].as_bool(), "{got:?}");
    assert_eq!(got.reason, text(&want["reason"]));
    assert_eq!(Json::from(got.http_status), want["http_status"]);
    assert_eq!(got.www_authenticate, text(&want["www_authenticate"]));
    assert_eq!(got.rules, texts(&want["rules"]));
    assert_eq!(got.missing_scopes, texts(&want["missing_scopes"]));
    assert_eq!(got.unknown_facts, texts(&want["unknown_facts"]));
    assert!(!got.decision_id.is_empty() && !got.policy_revision.is_empty());
    if let Some(cacheable) = want["cacheable"].as_bool() {
        assert_eq!(got.cacheable_until.is_some(), cacheable);
    }
    if let Some(want) = want.get("subject") {
        let subject = got.subject.as_ref().unwrap();
        assert_eq!(subject.subject, text(&want["subject"]));
        assert_eq!(subject.issuer, text(&want["issuer"]));
        assert_eq!(subject.client, text(&want["client"]));
        let kind = match subject.kind {
            Some(SubjectKind::User) => "user",
            Some(SubjectKind::Application) => "application",
            _ => "",
        };
        assert_eq!(kind, text(&want["kind"]));
        assert_eq!(subject.scopes, texts(&want["scopes"]));
        assert_eq!(subject.expires_at > Some(SystemTime::now()), got.allowed);
    }
}

fn judge_error(want: &Json, got: &Error) {
    let code = match got.code {
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::Unavailable => "UNAVAILABLE",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        _ => "",
    };
    assert_eq!(
        (code, got.reason.as_str()),
        (text(&want["code"]), text(&want["reason"])),
        "{got}"
    );
    if let Some(name) = want["names"].as_str() {
        assert!(got.message.contains(&format!("`{name}")), "{got}");
    }
}

#[tokio::test]
async fn questions() {
    let Some((site, cases)) = site() else { return };
    let client = Client::builder(text(&site["targets"]["tcp"]))
        .build()
        .unwrap();
    for case in list(&cases["questions"]) {
        println!("{}", case["name"]);
        let (Some(resource), Some(context)) =
            (resource(&case["resource"]), properties(&case["context"]))
        else {
            println!("  skipped: no value of Rust's type is such a thing");
            continue;
        };
        let question = Question {
            token: token(&site, &case["token"]),
            api: text(&case["api"]).to_owned(),
            action: text(&case["action"]).to_owned(),
            resource,
            context,
            proof: case.get("proof").map(proof),
            ..Question::default()
        };
        if case.get("unknown").is_some() {
            let unknown = texts(&case["unknown"]);
            let unknown: Vec<&str> = unknown.iter().map(String::as_str).collect();
            judge_partial(case, client.partial_check(&question, &unknown).await);
        } else if case.get("filter").is_some() {
            judge_filter(case, client.filter(&question).await);
        } else {
            judge(case, &client.check(&question).await);
        }
    }
}

#[tokio::test]
async fn batches() {
    let Some((site, cases)) = site() else { return };
    let client = Client::builder(text(&site["targets"]["tcp"]))
        .build()
        .unwrap();
    for case in list(&cases["batches"]) {
        println!("{}", case["name"]);
        let item = |item: &Json| Item {
            action: text(&item["action"]).to_owned(),
            resource: resource(&item["resource"]).unwrap(),
        };
        let batch = Batch {
            token: token(&site, &case["token"]),
            api: text(&case["api"]).to_owned(),
            items: list(&case["items"]).iter().map(item).collect(),
            ..Batch::default()
        };
        if case.get("unknown").is_some() {
            let unknown = texts(&case["unknown"]);
            let unknown: Vec<&str> = unknown.iter().map(String::as_str).collect();
            let outcomes = client.batch_partial_check(&batch, &unknown).await.unwrap();
            let results = list(&case["results"]);
            assert_eq!(outcomes.len(), results.len());
            outcomes
                .into_iter()
                .zip(results)
                .for_each(|(got, want)| judge_partial(want, got));
            continue;
        }
        match client.batch_check(&batch).await {
            Err(error) => judge(case, &Err(error)),
            Ok(outcomes) => {
                let results = list(&case["results"]);
                assert_eq!(outcomes.len(), results.len());
                outcomes
                    .iter()
                    .zip(results)
                    .for_each(|(got, want)| judge(want, got));
            }
        }
    }
}

#[tokio::test]
async fn connections() {
    let Some((site, cases)) = site() else { return };
    let file = |name: &Json| fs::read(text(&site["files"][text(name)])).unwrap();
    for case in list(&cases["connections"]) {
        println!("{}", case["name"]);
        let mut builder = Client::builder(text(&site["targets"][text(&case["target"])]));
        if case.get("authorities").is_some() {
            builder = builder.authorities(file(&case["authorities"]));
        }
        if case.get("certificate").is_some() {
            builder = builder.identity(file(&case["certificate"]), file(&case["private_key"]));
        }
        if let Some(timeout) = case["timeout_ms"].as_u64() {
            builder = builder.timeout(Duration::from_millis(timeout));
        }
        let question = Question {
            token: text(&site["tokens"]["reader"]).to_owned(),
            api: "health".into(),
            action: "read".into(),
            resource: Resource::new("patient", "p1").with("sealed", false),
            ..Question::default()
        };
        judge(case, &builder.build().unwrap().check(&question).await);
    }
}

#[tokio::test]
async fn what_does_not_fit_together_is_an_error() {
    let zero = Client::builder("127.0.0.1:1").timeout(Duration::ZERO);
    let never = Client::builder("127.0.0.1:1").attempts(0);
    let socket = Client::builder("unix:/run/policyd.sock").authorities("");
    let unseen = Client::builder("127.0.0.1:1").identity("", "");
    for builder in [zero, never, socket, unseen, Client::builder("not a host")] {
        assert_eq!(builder.build().unwrap_err().code, Code::InvalidArgument);
    }
}

#[test]
fn a_question_does_not_show_its_token() {
    let question = Question {
        token: "secret".into(),
        ..Question::default()
    };
    let batch = Batch {
        token: "secret".into(),
        ..Batch::default()
    };
    assert!(!format!("{question:?}{batch:?}").contains("secret"));
}
