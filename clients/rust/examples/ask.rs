use policyd_client::{Client, Question, Resource, refusal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder("127.0.0.1:8181").build()?;
    let outcome = client
        .check(&Question {
            token: std::env::var("TOKEN")?,
            api: "health".into(),
            action: "read".into(),
            resource: Resource::new("patient", "p1").with("sealed", false),
            ..Question::default()
        })
        .await;
    match refusal(&outcome) {
        None => println!("allowed"),
        Some(refused) => println!("{} {:?}", refused.status, refused.headers),
    }
    Ok(())
}
