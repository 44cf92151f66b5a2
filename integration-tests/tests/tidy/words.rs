//! One word a thing, in every name that others see: Protobuf, SQL, the command line.
//!
//! The list is the "not" column of GLOSSARY.md. Some of its words have a second, proper meaning
//! (the version of a server is not a fence); those uses are listed beside the word.

use crate::lexer::{code_only, identifiers};
use crate::tree::{Finding, Tree, assert_found, assert_none};

/// A word to avoid, the word to use, and names in which it means something else: whole names, or
/// their starts or ends where a `*` stands.
struct Banned {
    word: &'static str,
    instead: &'static str,
    except: &'static [&'static str],
}

const BANNED: &[Banned] = &[
    banned("estate", "fleet", &[]),
    banned("node", "agent", &[]),
    banned("worker", "agent", &[]),
    banned("client", "agent", &["client_encoding"]),
    banned("cluster", "instance", &[]),
    banned("stanza", "instance", &[]),
    // What a job acts on (`RepositoryTarget`); what a symbolic link, a column's statistics have.
    banned(
        "target",
        "instance",
        &["*Target", "link_target", "statistics_target"],
    ),
    // PostgreSQL's name for how a column is kept.
    banned("storage", "repository", &["storage"]),
    banned("destination", "repository", &[]),
    banned("vault", "repository", &[]),
    banned("driver", "backend", &[]),
    banned("dao", "store", &[]),
    banned("repo", "repository", &[]),
    // Which controller the command talks to, and with which certificate.
    banned("profile", "policy", &["profile"]),
    banned("config", "policy", &["config"]),
    banned("cron", "schedule", &[]),
    // What an attempt is told to do; a run is the intention.
    banned("job", "run", &["job", "Job", "*Job"]),
    // pg_restore's parallel ones.
    banned("jobs", "runs", &["jobs", "jobs_count"]),
    banned("tick", "slot", &[]),
    banned("firing", "slot", &[]),
    banned("task", "run", &[]),
    banned("execution", "run", &[]),
    banned("try", "attempt", &[]),
    // A certificate's counter, which shows a clone.
    banned(
        "generation",
        "fence or epoch",
        &["generation", "*certificate_generation"],
    ),
    banned("lock", "lease", &["*lock_wait*"]),
    // How an attempt or a call ended, within its outcome or its audit event.
    banned(
        "result",
        "outcome",
        &["result", "AttemptResult", "ATTEMPT_RESULT_*"],
    ),
    // PostgreSQL's own.
    banned("snapshot", "backup", &["snapshot_time"]),
    // pg_dump's own number of an entry.
    banned("dump", "backup", &["dump_id"]),
    banned("chunk", "segment", &[]),
    banned("blob", "pack", &[]),
    // PostgreSQL's indexes; a position in a list.
    banned("index", "manifest", &["Index*", "index_name*", "*_index"]),
    banned("scrub", "check", &[]),
    // Of signatures and chains; the slice of that name judges checks and drills.
    banned("verify", "check", &["verify", "verify_time", "Verify*"]),
    banned("pin", "hold", &[]),
    banned("purge", "prune", &[]),
    banned("forget", "expire", &[]),
    banned("gc", "prune", &[]),
    banned("alert", "incident", &[]),
    banned("principal", "caller", &[]),
    banned("user", "caller", &[]),
    // How a child process ended.
    banned("code", "reason", &["exit_code"]),
];

const fn banned(
    word: &'static str,
    instead: &'static str,
    except: &'static [&'static str],
) -> Banned {
    Banned {
        word,
        instead,
        except,
    }
}

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.under("proto/", "proto") {
        let code = code_only(&file.text);
        judge(&file.path, identifiers(&code), &mut findings);
    }
    for file in tree.under("cli/src/", "rs") {
        let code = code_only(&file.text);
        judge(&file.path, command_names(&code), &mut findings);
    }
    for file in tree.under("controller/migrations/", "sql") {
        judge(&file.path, column_names(&file.text), &mut findings);
    }
    findings
}

fn judge<'a>(
    path: &str,
    names: impl IntoIterator<Item = (usize, &'a str)>,
    findings: &mut Vec<Finding>,
) {
    for (line, name) in names {
        let words = words(name);
        for banned in BANNED
            .iter()
            .filter(|banned| words.iter().any(|word| word == banned.word))
        {
            if !banned.except.iter().any(|pattern| matches(pattern, name)) {
                let message = format!(
                    "{name}: the word is {}, not {}; if it means something else here, list it in \
                     words.rs",
                    banned.instead, banned.word
                );
                findings.push(Finding::new(path, line, message));
            }
        }
    }
}

/// The words of a snake_case, SHOUTING or CamelCase name, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = '_';
    for char in name.chars() {
        let starts = char == '_' || char == '-' || (char.is_uppercase() && before.is_lowercase());
        if starts {
            words.push(String::new());
        }
        if char.is_alphanumeric() {
            words.last_mut().unwrap().extend(char.to_lowercase());
        }
        before = char;
    }
    words
}

fn matches(pattern: &str, name: &str) -> bool {
    let core = pattern.trim_matches('*');
    match (pattern.starts_with('*'), pattern.ends_with('*')) {
        (false, false) => name == core,
        (true, false) => name.ends_with(core),
        (false, true) => name.starts_with(core),
        (true, true) => name.contains(core),
    }
}

/// Fields and variants of every type that clap derives from: flags, arguments, commands. A plain
/// argument is shown by its value's name, if it has one, and not by its field's.
fn command_names(code: &str) -> Vec<(usize, &str)> {
    const DERIVES: &[&str] = &["Parser", "Args", "Subcommand", "ValueEnum"];
    let (mut names, mut depth, mut inside, mut pending) = (Vec::new(), 0_i32, false, false);
    let mut attributes = String::new();
    for (index, line) in code.lines().enumerate() {
        let text = line.trim_start();
        if text.starts_with("#[derive(") && DERIVES.iter().any(|derive| text.contains(derive)) {
            pending = true;
        }
        let text = text
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub ");
        if inside && depth == 1 && text.starts_with(char::is_alphabetic) {
            let end = text.find(|char: char| !char.is_alphanumeric() && char != '_');
            if !attributes.contains("value_name") || attributes.contains("long") {
                names.push((index + 1, &text[..end.unwrap_or(text.len())]));
            }
            attributes.clear();
        } else {
            attributes.push_str(text);
        }
        if pending && (text.starts_with("struct ") || text.starts_with("enum ")) {
            (pending, inside, depth) = (false, true, 0);
            attributes.clear();
        }
        if inside {
            depth += balance(line, '{', '}');
            inside = depth > 0;
        }
    }
    names
}

fn balance(line: &str, open: char, close: char) -> i32 {
    line.chars()
        .map(|char| i32::from(char == open) - i32::from(char == close))
        .sum()
}

/// Tables, and their columns as `CREATE TABLE` and `ADD COLUMN` name them.
fn column_names(sql: &str) -> Vec<(usize, &str)> {
    const CONSTRAINTS: &[&str] = &["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"];
    let (mut names, mut depth, mut inside) = (Vec::new(), 0_i32, false);
    for (index, line) in sql.lines().enumerate() {
        let line = line.split("--").next().unwrap();
        let mut words = line
            .split(|char: char| !char.is_alphanumeric() && char != '_')
            .filter(|word| !word.is_empty());
        let after = |word: &str| {
            let mut words = line
                .split_whitespace()
                .skip_while(|it| !it.eq_ignore_ascii_case(word));
            words.nth(1).map(|it| it.split('(').next().unwrap())
        };
        if line.trim_start().to_uppercase().starts_with("CREATE TABLE") {
            (inside, depth) = (true, 0);
            let name = after("EXISTS").or_else(|| after("TABLE"));
            names.extend(name.map(|name| (index + 1, name)));
        } else if line.to_uppercase().contains("ADD COLUMN") {
            names.extend(after("COLUMN").map(|name| (index + 1, name)));
        } else if inside && depth == 1 {
            let first = words.next().unwrap_or(")");
            if first != ")" && !CONSTRAINTS.contains(&first.to_uppercase().as_str()) {
                names.push((index + 1, first));
            }
        }
        if inside {
            depth += balance(line, '(', ')');
            inside = depth > 0;
        }
    }
    names
}

#[test]
fn names_use_the_words_of_the_glossary() {
    assert_none(&check(&Tree::real()));
}

#[test]
fn a_second_word_for_a_thing_is_found_in_protobuf_sql_and_the_command_line() {
    let proto =
        "// a node\nmessage WorkerNode {\n  string repo_id = 1;\n  int32 retry_count = 2;\n}";
    let cli = concat!(
        "#[derive(Debug, clap::Args)]\n#[command(a)]\npub struct A {\n  /// a job\n",
        "  #[arg(long)]\n  pub destination: u8,\n  #[arg(value_name = \"A\")]\n  node: u8,\n}\n",
        "fn f() {\n  let gc = 1;\n}\n",
        "#[derive(Subcommand)]\nenum B {\n  Purge(P),\n  Run { blob: u8 },\n}\n",
    );
    let sql = concat!(
        "CREATE TABLE IF NOT EXISTS cluster (\n  id TEXT, -- a dump\n  task_id TEXT CHECK (\n",
        "    job IS NULL),\n  PRIMARY KEY (snapshot)\n);\nCREATE INDEX a ON b (alert);\n",
        "ALTER TABLE b ADD COLUMN gc TEXT;",
    );
    let tree = Tree::of(&[
        ("proto/a.proto", proto),
        ("cli/src/a.rs", cli),
        ("controller/migrations/a.sql", sql),
    ]);
    let sql = "controller/migrations/a.sql";
    assert_found(
        &check(&tree),
        &[
            ("proto/a.proto", 2),
            ("proto/a.proto", 2),
            ("proto/a.proto", 3),
            ("cli/src/a.rs", 6),
            ("cli/src/a.rs", 15),
            (sql, 1),
            (sql, 3),
            (sql, 8),
        ],
    );
}

#[test]
fn names_fall_into_words() {
    assert_eq!(words("lock_wait-Ms"), ["lock", "wait", "ms"]);
    assert_eq!(words("RunState"), ["run", "state"]);
    assert!(matches("*lock_wait*", "a_lock_wait_b") && !matches("lock", "locks"));
}
