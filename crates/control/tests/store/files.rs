//! What every store must do with the contents of files that documents name.

use std::sync::Arc;

use seawall_control::contents::{File, bound, files};
use seawall_control::store::{Blob, Change, MOST_CONTENT, Sqlite, sqlite, transfer};
use seawall_control::{ConfigStore, Hash};

use crate::Open;
use crate::properties::{append, document, refused, zone};

/// A document's text that names one file with this content, and the change that brings that.
pub fn naming(content: &[u8]) -> (String, Change) {
    let file = File {
        path: "/x/key.pem".into(),
        sealed: true,
        hash: Hash::of(content),
        size: content.len() as u64,
    };
    let text = bound("schema = 1\n", vec![file]);
    (text, Change::Content(Blob(Arc::from(content))))
}

pub fn contents_of_files_are_kept_with_their_documents(open: Open<'_>) {
    let mut store = open();
    let a = zone("a.test");
    let (one, content) = naming(b"\xff\x00one");
    let done = store
        .append(&append(vec![content, document(&a, &one)]))
        .expect("appended");
    assert_eq!((done.first, done.last), (1, 1), "a content is no entry");
    let (two, content) = naming(b"two");
    // Twice in one append, as two zones may name it.
    let changes = vec![
        content.clone(),
        document(&a, &two),
        content,
        document(&zone("b.test"), &two),
    ];
    store.append(&append(changes)).expect("appended");
    store
        .append(&append(vec![Change::Return(a.clone(), 1)]))
        .expect("back");
    let head = store.head(&a).expect("head").expect("there");
    let text = store
        .document(&head.hash)
        .expect("document")
        .expect("there");
    let [file] = &files(&text)[..] else {
        panic!("{text}");
    };
    let kept = store.content(&file.hash).expect("content");
    assert_eq!(kept.as_deref(), Some(&b"\xff\x00one"[..]));
    assert_eq!(store.content(&Hash::of(b"none")).expect("content"), None);
    assert_eq!(store.verify().expect("verify"), Ok(4));
    let large = Change::Content(Blob(vec![0; MOST_CONTENT + 1].into()));
    let why = refused(&mut *store, vec![large]);
    assert!(why.contains("a file has"), "{why}");

    // It goes along into another store, into a backup, and back.
    let folder = crate::folder::Folder::new();
    let mut other = Sqlite::open(&folder.path("other.db")).expect("opens");
    assert_eq!(transfer(&mut *store, &mut other).expect("brought"), 4);
    assert_eq!(other.verify().expect("verify"), Ok(4));
    other.backup(&folder.path("backup.db")).expect("backed up");
    let to = folder.path("restored.db");
    sqlite::restore(&folder.path("backup.db"), &to).expect("restored");
    let mut restored = Sqlite::open(&to).expect("opens");
    assert_eq!(restored.content(&file.hash).expect("content"), kept);
}

pub fn a_file_that_is_missing_is_found_where_its_document_is(open: Open<'_>) {
    let mut store = open();
    let (one, _) = naming(b"never brought");
    let changes = vec![
        document(&zone("b.test"), "schema = 1\n"),
        document(&zone("a.test"), &one),
    ];
    store.append(&append(changes)).expect("appended");
    let broken = store.verify().expect("verify").expect_err("broken");
    assert!(
        broken.seq == 2 && broken.what.contains("is missing"),
        "{broken}"
    );
}
