//! How the daemon is reached, and how often.

use std::{future::Future, time::Duration};

use tonic::{
    Code, Request, Response, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::{
    Answer, Batch, Error, Filter, Outcome, PartialAnswer, Question, filter, messages,
    proto::authorization_service_client::AuthorizationServiceClient,
};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Asks one daemon. Clones share its connection.
#[derive(Clone, Debug)]
pub struct Client {
    service: AuthorizationServiceClient<Channel>,
    timeout: Duration,
    attempts: u32,
}

/// How a [`Client`] asks.
#[derive(Clone)]
pub struct Builder {
    target: String,
    authorities: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    timeout: Duration,
    attempts: u32,
}

impl Builder {
    /// Has the daemon show a certificate that one of these (PEM) issued. Without it the connection
    /// is plain text.
    #[must_use]
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = Some(pem.into());
        self
    }

    /// What the daemon is shown where it asks for a certificate (PEM both).
    #[must_use]
    pub fn identity(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    /// Bounds each call, repetitions included; by default 5 seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often a call is made in all while the daemon is unavailable; by default 4. No other
    /// error is repeated: it would be the same again.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Returns the client; it connects with the first question. To be called within a runtime of
    /// tokio.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` where these do not fit together.
    pub fn build(self) -> Result<Client, Error> {
        let wrong = |what: String| Error::new(Code::InvalidArgument, "", what);
        if self.attempts == 0 || self.timeout.is_zero() {
            return Err(wrong("timeout and attempts must be positive".to_owned()));
        }
        let socket = self.target.starts_with("unix:");
        let address = match (socket, &self.authorities) {
            (true, None) => self.target.clone(),
            (false, None) => format!("http://{}", self.target),
            (false, Some(_)) => format!("https://{}", self.target),
            (true, Some(_)) => return Err(wrong("a Unix socket speaks plain text".to_owned())),
        };
        let mut endpoint = Endpoint::from_shared(address)
            .map_err(|error| wrong(format!("`{}` is no target: {error}", self.target)))?;
        if let Some(pem) = self.authorities {
            let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
            if let Some((certificate, key)) = self.identity {
                tls = tls.identity(Identity::from_pem(certificate, key));
            }
            endpoint = endpoint
                .tls_config(tls)
                .map_err(|error| wrong(format!("the certificates cannot be used: {error}")))?;
        } else if self.identity.is_some() {
            return Err(wrong(
                "a certificate is shown over TLS: pass authorities".to_owned(),
            ));
        }
        let service = AuthorizationServiceClient::new(endpoint.connect_lazy());
        Ok(Client {
            service,
            timeout: self.timeout,
            attempts: self.attempts,
        })
    }
}

fn each<R>(batch: &Batch, results: Vec<R>) -> Result<Vec<R>, Error> {
    if results.len() == batch.items.len() {
        return Ok(results);
    }
    let what = "the daemon did not answer each item of the batch";
    Err(Error::new(Code::Unknown, "", what))
}

impl Client {
    /// Begins a client of the daemon at `target`: `host:port`, or `unix:PATH`.
    pub fn builder(target: impl Into<String>) -> Builder {
        Builder {
            target: target.into(),
            authorities: None,
            identity: None,
            timeout: Duration::from_secs(5),
            attempts: 4,
        }
    }

    /// Asks one question. A deny is an answer and no error.
    ///
    /// # Errors
    ///
    /// Where there is no answer.
    pub async fn check(&self, question: &Question) -> Result<Answer, Error> {
        let message = messages::check_request(question)?;
        let response = self
            .repeated(|| {
                let (mut service, request) = (self.service.clone(), Request::new(message.clone()));
                async move { service.check(request).await }
            })
            .await?;
        Ok(messages::answer(response))
    }

    /// Asks several questions about one token; the outcomes are in the order of the items. One bad
    /// item fails no other.
    ///
    /// # Errors
    ///
    /// Where there is no answer to any of them.
    pub async fn batch_check(&self, batch: &Batch) -> Result<Vec<Outcome>, Error> {
        let message = messages::batch_check_request(batch)?;
        let response = self
            .repeated(|| {
                let (mut service, request) = (self.service.clone(), Request::new(message.clone()));
                async move { service.batch_check(request).await }
            })
            .await?;
        let results = each(batch, response.results)?;
        Ok(results.into_iter().map(messages::outcome).collect())
    }

    /// Asks what is certain of a question while some facts are unknown. They are named as a policy
    /// names them, such as `resource.amount`; `resource` and `context` are all that they have.
    ///
    /// # Errors
    ///
    /// Where there is no answer.
    pub async fn partial_check(
        &self,
        question: &Question,
        unknown: &[&str],
    ) -> Result<PartialAnswer, Error> {
        let message = messages::partial_check_request(question, unknown)?;
        let response = self
            .repeated(|| {
                let (mut service, request) = (self.service.clone(), Request::new(message.clone()));
                async move { service.partial_check(request).await }
            })
            .await?;
        Ok(messages::partial_answer(response))
    }

    /// Asks several such questions about one token: which entries a menu has. The outcomes are in
    /// the order of the items.
    ///
    /// # Errors
    ///
    /// Where there is no answer to any of them.
    pub async fn batch_partial_check(
        &self,
        batch: &Batch,
        unknown: &[&str],
    ) -> Result<Vec<Result<PartialAnswer, Error>>, Error> {
        let message = messages::batch_partial_check_request(batch, unknown)?;
        let response = self
            .repeated(|| {
                let (mut service, request) = (self.service.clone(), Request::new(message.clone()));
                async move { service.batch_partial_check(request).await }
            })
            .await?;
        let results = each(batch, response.results)?;
        Ok(results.into_iter().map(messages::partial_outcome).collect())
    }

    /// Asks on which resources of the question's type its action is allowed: a condition for the
    /// query of whoever has them. Of the question's resource the type alone counts.
    ///
    /// # Errors
    ///
    /// Where there is no answer, and where a newer daemon's filter has what this client does not
    /// know.
    pub async fn filter(&self, question: &Question) -> Result<Filter, Error> {
        let message = filter::request(question)?;
        let response = self
            .repeated(|| {
                let (mut service, request) = (self.service.clone(), Request::new(message.clone()));
                async move { service.filter(request).await }
            })
            .await?;
        filter::filter(response)
    }

    /// Makes a call, again where the daemon is unavailable, and never past the timeout.
    async fn repeated<T, F>(&self, call: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let calls = async {
            let mut pause = FIRST_PAUSE;
            for _ in 1..self.attempts {
                match call().await {
                    Err(status) if messages::unavailable(&status) => {
                        tokio::time::sleep(pause).await;
                        pause = (pause * 3).min(LONGEST_PAUSE);
                    }
                    other => return other,
                }
            }
            call().await
        };
        match tokio::time::timeout(self.timeout, calls).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(messages::failed(&status)),
            Err(_) => {
                let what = format!("there was no answer within {:?}", self.timeout);
                Err(Error::new(Code::DeadlineExceeded, "", what))
            }
        }
    }
}
