use super::*;

fn error(text: &str) -> String {
    Config::parse(text).unwrap_err().message
}

#[test]
fn an_empty_file_is_a_whole_configuration() {
    let config = Config::parse("").unwrap();
    assert_eq!(config.agents.listen.to_string(), "127.0.0.1:7443");
    assert_eq!(config.operators.listen.to_string(), "127.0.0.1:7444");
    assert_eq!(
        config.store_url().unwrap(),
        "sqlite:///var/lib/provado-controller/controller.db"
    );
    assert_eq!(config.agent_address(7443), "localhost:7443");
    assert_eq!(config.trust_domain().unwrap().as_str(), "provado.local");
}

#[test]
fn what_is_set_counts() {
    let config = Config::parse(
        "data_dir = '/srv/p'\n\
         [identity]\nserver_names = ['::1']\n\
         [log]\nlevel = 'warn'\nformat = 'json'\n\
         [limits]\nlease_seconds = 30\n",
    )
    .unwrap();
    assert_eq!(config.log.format, Format::Json);
    assert_eq!(config.limits.lease_seconds, 30);
    assert_eq!(config.agent_address(1), "[::1]:1");
    assert_eq!(config.store_url().unwrap(), "sqlite:///srv/p/controller.db");
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let unknown = error("data_dir = '/x'\n[log]\nlevle = 'info'\n");
    assert!(
        unknown.contains("line 3") && unknown.contains("levle"),
        "{unknown}"
    );
    let level = error("[log]\nlevel = 'inof'\n");
    assert!(
        level.contains("line 2") && level.contains("log filter"),
        "{level}"
    );
    for (text, part) in [
        ("data_dir = 'x'", "absolute"),
        ("[store]\nurl = 'a'\nurl_file = '/b'", "not both"),
        ("[identity]\nserver_names = []", "at least one"),
        ("[identity]\ntrust_domain = 'A B'", "trust_domain"),
        ("[agents]\nlisten = 'everywhere'", "line 2"),
        ("[agents]\nlisten = '127.0.0.1:7444'", "must differ"),
        ("[agents]\naddress = 'host'", "host:port"),
        ("[limits]\nlease_seconds = 1", "from 15 to 3600"),
        ("[limits]\nlease_seconds = -1", "line 2"),
    ] {
        let message = error(text);
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn the_address_may_come_from_a_file_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("url");
    let text = format!("[store]\nurl_file = '{}'\n", path.display());
    let config = Config::parse(&text).unwrap();
    assert!(
        config
            .store_url()
            .unwrap_err()
            .message
            .contains("cannot be read")
    );
    std::fs::write(&path, "postgres://h/d\n").unwrap();
    assert_eq!(config.store_url().unwrap(), "postgres://h/d");

    let file = directory.path().join("controller.toml");
    std::fs::write(&file, "nonsense").unwrap();
    let message = Config::load(&file).unwrap_err().message;
    assert!(
        message.contains("controller.toml") && message.contains("line 1"),
        "{message}"
    );
}
