//! What describes the API: the `OpenAPI` document and the pages for people.

use crate::{client::Call, shop::Shop};

#[tokio::test]
async fn the_document_and_the_pages_are_served_from_here_alone() {
    let shop = Shop::open().await;
    let get = async |path: &str| Call::new(shop.server.public_addr(), "GET", path).send().await;
    let document = get("/api/v1/openapi.json").await.expect(200);
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let operations: usize = document["paths"]
        .as_object()
        .expect("paths")
        .values()
        .filter_map(|item| item.as_object())
        .map(serde_json::Map::len)
        .sum();
    assert_eq!(operations, 21, "every operation is documented");
    for path in ["/docs", "/problems", "/problems/insufficient-stock"] {
        let page = get(path).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
        let html = String::from_utf8_lossy(&page.body).into_owned();
        assert!(!html.contains("<script") && !html.contains("src="), "{path} loads nothing");
        assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    }
    let docs = String::from_utf8_lossy(&get("/docs").await.body).into_owned();
    assert!(docs.contains("/api/v1/orders/{id}/refunds") && docs.contains("Place an order"));
    get("/problems/unheard-of").await.problem("not-found");
    let list = String::from_utf8_lossy(&get("/problems").await.body).into_owned();
    for kind in holdfast_api::edge::problem::Kind::ALL {
        assert!(list.contains(kind.slug()));
        assert_eq!(get(&format!("/problems/{}", kind.slug())).await.status, 200);
    }
    shop.close().await;
}
