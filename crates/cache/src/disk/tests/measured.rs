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
    let temp = Temp::new();
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
    println!("answers after          {:>8.1?}", began.elapsed());
    while !cache.disk_told().unwrap().serves {
        assert!(began.elapsed() < Duration::from_secs(120));
        std::thread::sleep(Duration::from_millis(5));
    }
    let told = cache.disk_told().unwrap();
    println!(
        "{} entries after {:.1?}, {} MiB of index, {:.1} bytes each",
        told.entries,
        began.elapsed(),
        told.index_bytes >> 20,
        told.index_bytes as f64 / told.entries as f64
    );
    close(&cache);
}
