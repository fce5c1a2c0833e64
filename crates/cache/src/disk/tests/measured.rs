//! What a start costs: `cargo test --release -p seawall-cache -- --ignored --nocapture start_of_millions`.

use super::*;
use crate::disk::folder::Folder;
use crate::disk::format::{self, Kind, Listed, Name};
use crate::made_up::Random;

#[test]
#[ignore = "long: a measurement, printed"]
fn start_of_millions() {
    const SEGMENTS: u32 = 64;
    const EACH: u32 = 156_250;
    let temp = tempfile::tempdir().unwrap();
    // Files with holes where the responses would be, and a true list at their ends.
    let folder = Folder::open(temp.path()).unwrap();
    let mut random = Random::new(23);
    for id in 0..SEGMENTS {
        let all: Vec<Listed> = (0..EACH)
            .map(|nth| Listed {
                kind: Kind::Response,
                name: Name {
                    url: random.next(),
                    key: random.next() as u32,
                    variant: 1,
                    zone: u64::from(nth % 100),
                },
                offset: nth * 1_500,
                length: 1_500,
            })
            .collect();
        let file = folder.create(id).unwrap();
        let footer = format::footer(folder.store(), id, &all);
        Real.write(&file, &footer, u64::from(EACH) * 1_500).unwrap();
    }
    drop(folder);
    let settings = Settings {
        folder: temp.path().to_owned(),
        bytes: 64 << 30,
        zone_share: 50,
    };
    let size = Size {
        bytes: 64 << 20,
        zone_share: 50,
    };
    let began = Instant::now();
    let cache = Cache::with(size, Some(Disk::new(settings)));
    cache.use_disk();
    let asked = request("/", &[]);
    assert!(matches!(cache.find(&key(&asked), &asked), Found::Nothing));
    let answers = began.elapsed().as_secs_f64();
    println!("measured: requests are answered, as misses = {answers:.3} s");
    while !cache.disk_told().unwrap().serves {
        assert!(began.elapsed() < Duration::from_secs(120));
        std::thread::sleep(Duration::from_millis(5));
    }
    let ready = began.elapsed().as_secs_f64();
    let told = cache.disk_told().unwrap();
    assert!(told.entries > u64::from(SEGMENTS * EACH) * 99 / 100);
    println!("measured: {} entries, ready = {ready:.2} s", told.entries);
    let index = told.index_bytes as f64;
    println!("measured: index = {:.0} MiB", index / f64::from(1 << 20));
    let each = index / told.entries as f64;
    println!("measured: each entry of it = {each:.1} bytes");
    const LOOKS: u32 = 100_000;
    let keys: Vec<_> = (0..LOOKS)
        .map(|nth| key(&request(&format!("/{nth}"), &[])))
        .collect();
    let began = Instant::now();
    let found = keys.iter().filter(|key| cache.look_on_disk(key).is_some());
    let found = found.count();
    let each = began.elapsed().as_nanos() / u128::from(LOOKS);
    println!(
        "measured: a look for what is not there ({found} of {LOOKS} have hashes of others) = {each} ns"
    );
    close(&cache);
}
