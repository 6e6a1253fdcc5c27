//! Asking the admin listener of whichever node answers.
//!
//! Invariant: the token is in no argument, where every user of the machine could read it: it comes from a variable or a file.

use std::{fs, path::PathBuf, time::Duration};

use clap::Args;
use holdfast_api::load::{
    shop::{Answer, Shop, ShopError},
    target::{Target, TargetError},
};
use holdfast_cluster::operator::ShardStatus;
use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

/// The variables the token may be in, or the name of a file that holds it: those of the server.
const TOKEN: &str = "HOLDFAST__ADMIN__TOKEN";
const TOKEN_FILE: &str = "HOLDFAST__ADMIN__TOKEN_FILE";

/// Where to ask, and as whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct Reach {
    /// The admin listener of a node, as http://host:port. With several (or commas), the next is asked when one is away.
    #[arg(
        long,
        global = true,
        env = "HOLDFAST_ADMIN_URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:9090"
    )]
    pub(crate) url: Vec<String>,
    /// A file with the admin token. Without it the variable `HOLDFAST__ADMIN__TOKEN` counts, or `HOLDFAST__ADMIN__TOKEN_FILE`.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Who you are, for the audit log and the plan.
    #[arg(long = "as", global = true, value_name = "NAME", env = "USER")]
    operator: Option<String>,
    /// How long one node may take to answer, in seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 20)]
    timeout_s: u64,
}

/// Nothing came of a call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    /// An address that is none.
    #[error("--url")]
    Url(#[from] TargetError),
    /// There is no token.
    #[error("no admin token: set {TOKEN} or {TOKEN_FILE}, or name a file with --token-file")]
    NoToken,
    /// The token's file cannot be read.
    #[error("cannot read the admin token from {path}")]
    TokenFile {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Nobody answered.
    #[error("no answer from {address}: {why}")]
    Unreachable {
        /// The last node that was asked.
        address: String,
        /// Why, in words.
        why: String,
    },
    /// A node said no.
    #[error("refused ({slug}): {detail}")]
    Refused {
        /// The last part of the problem's type.
        slug: String,
        /// What it said.
        detail: String,
    },
    /// What answered is no admin listener of Holdfast, or one of another version.
    #[error("{address} gave an answer that cannot be read: {why}")]
    Strange {
        /// Who.
        address: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The nodes, in the order they are asked.
#[derive(Debug)]
pub(crate) struct AdminClient {
    nodes: Vec<Shop>,
    operator: Option<String>,
    timeout: Duration,
}

/// What the shards' address answers.
#[derive(Debug, Deserialize)]
pub(crate) struct Shards {
    pub(crate) shards: Vec<ShardStatus>,
}

impl AdminError {
    /// Why nothing had to be done, if that is all.
    pub(crate) fn so_already(&self) -> Option<&str> {
        match self {
            Self::Refused { slug, detail } if slug == "nothing-to-do" => Some(detail),
            _ => None,
        }
    }

    /// Whether the command line or the surroundings are to blame, not the cluster.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::Url(_) | Self::NoToken | Self::TokenFile { .. })
    }

    /// Whether nobody answered.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

impl AdminClient {
    pub(crate) fn new(reach: &Reach) -> Result<Self, AdminError> {
        let token = token(reach)?;
        let target = |url: &String| Ok(Shop::new(url.trim().parse()?, Some(token.clone())));
        let nodes = reach.url.iter().map(target).collect::<Result<_, TargetError>>()?;
        // A name that the node would not take is left out: a login name is nobody's choice.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@+".contains(&byte);
        let operator =
            reach.operator.clone().filter(|name| (1..=64).contains(&name.len()) && name.bytes().all(is_plain));
        Ok(Self { nodes, operator, timeout: Duration::from_secs(reach.timeout_s) })
    }

    /// The same for one node at an address it gave itself, with more patience.
    pub(crate) fn at(&self, url: &str, timeout: Duration) -> Result<Self, AdminError> {
        let target: Target = url.parse()?;
        let token = self.nodes.first().and_then(Shop::admin_token).map(str::to_owned);
        Ok(Self { nodes: vec![Shop::new(target, token)], operator: self.operator.clone(), timeout })
    }

    /// Each node by itself.
    pub(crate) fn each(&self) -> impl Iterator<Item = Self> + '_ {
        self.nodes.iter().map(|node| Self {
            nodes: vec![node.clone()],
            operator: self.operator.clone(),
            timeout: self.timeout,
        })
    }

    /// How long one node may take to answer.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The address of the first node.
    pub(crate) fn address(&self) -> String {
        self.nodes.first().map(|node| node.target().to_string()).unwrap_or_default()
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, AdminError> {
        self.call(Method::GET, path, None).await
    }

    /// Asks node after node until one answers. Asking twice does no harm: the plan changes once.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, AdminError> {
        let mut last = AdminError::Unreachable { address: String::new(), why: "no node is named".to_owned() };
        for node in &self.nodes {
            match self.ask(node, &method, path, body).await {
                Err(unreachable @ AdminError::Unreachable { .. }) => last = unreachable,
                answered => return answered,
            }
        }
        Err(last)
    }

    async fn ask(&self, node: &Shop, method: &Method, path: &str, body: Option<&Value>) -> Result<Value, AdminError> {
        let address = || node.target().to_string();
        let headers: Vec<(&str, &str)> = self.operator.iter().map(|name| ("x-operator", name.as_str())).collect();
        let call = node.call(method.clone(), path, node.admin_token(), &headers, body);
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(answer)) => read(&address(), answer),
            Ok(Err(error)) => Err(AdminError::Unreachable { address: address(), why: innermost(&error) }),
            Err(_) => Err(AdminError::Unreachable { address: address(), why: format!("{:?} are over", self.timeout) }),
        }
    }
}

impl Shards {
    pub(crate) fn read(value: &Value) -> Result<Self, AdminError> {
        Self::deserialize(value)
            .map_err(|error| AdminError::Strange { address: "the admin listener".to_owned(), why: error.to_string() })
    }
}

fn read(address: &str, answer: Answer) -> Result<Value, AdminError> {
    if answer.status.is_success() {
        return Ok(answer.body);
    }
    let text = |name: &str| answer.body.get(name).and_then(Value::as_str).map(str::to_owned);
    match (text("type"), text("detail")) {
        (Some(kind), Some(detail)) => {
            let slug = kind.rsplit('/').next().unwrap_or_default().to_owned();
            Err(AdminError::Refused { slug, detail })
        }
        _ => Err(AdminError::Strange { address: address.to_owned(), why: format!("{}", answer.status) }),
    }
}

fn innermost(error: &ShopError) -> String {
    let first: &dyn std::error::Error = error;
    let causes = std::iter::successors(Some(first), |error| error.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}

/// The token: the file named on the command line, else the variable, else the file named by the other one.
fn token(reach: &Reach) -> Result<String, AdminError> {
    let variable = |name: &str| std::env::vars_os().find(|(key, _)| key == name).map(|(_, value)| value);
    let path = match (&reach.token_file, variable(TOKEN)) {
        (Some(path), _) => path.clone(),
        (None, Some(token)) => return token.into_string().map_err(|_| AdminError::NoToken),
        (None, None) => variable(TOKEN_FILE).map(PathBuf::from).ok_or(AdminError::NoToken)?,
    };
    let text = fs::read_to_string(&path)
        .map_err(|source| AdminError::TokenFile { path: path.display().to_string(), source })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
