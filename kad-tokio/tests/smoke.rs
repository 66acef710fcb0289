use kad_tokio::*;
use std::time::*;
#[tokio::test]
async fn smoke() {
    let t0 = Instant::now();
    let first = Dht::builder().listen(([127, 0, 0, 1], 0).into()).start().unwrap();
    let mut nodes = vec![first.clone()];
    for _ in 1..20 {
        nodes.push(
            Dht::builder()
                .listen(([127, 0, 0, 1], 0).into())
                .bootstrap([first.local_addr().to_string()])
                .start()
                .unwrap(),
        );
    }
    for n in &nodes {
        println!("joined {:?} {:?}", n.joined().await, t0.elapsed());
    }
    let v: Vec<u8> = (0..32768).map(|i| i as u8).collect();
    for len in [0, 1, 64, 1084, 1085, 16384, 32768usize] {
        let t = Instant::now();
        let r = nodes[3].store(Key::hash_int(len as u64), v[..len].to_vec()).copies(Copies::All).await.unwrap();
        println!("store {len} {:?} copies {} {:?} {}", t.elapsed(), r.copies, r.duration, r.requests);
        let t = Instant::now();
        for n in &nodes {
            let f = n.find(Key::hash_int(len as u64)).await.unwrap().unwrap();
            assert_eq!(f.bytes, v[..len]);
        }
        println!("find {:?}", t.elapsed());
    }
    println!("{:?}", nodes[3].stats().await.unwrap());
    let t = Instant::now();
    for n in &nodes[1..] {
        n.close().await.unwrap();
    }
    println!("close {:?}", t.elapsed());
    println!("{:?}", nodes[0].peers().await.unwrap().len());
}
