using System.Globalization;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Transactions;

/// <summary>Everything that transactional producers did and that readers of committed records saw, judged at the end against what is in the
/// log. A transaction whose commit was asked for and not answered may have either end, but no part of one. Thread safe.</summary>
internal sealed class TransactionHistory(Violations violations)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Instance> _instances = [];
    private readonly Dictionary<string, Transaction> _transactions = [];
    private readonly Dictionary<string, Sent> _sent = [];
    private readonly SortedDictionary<Place, string> _places = [];
    private readonly Dictionary<string, List<(Place Place, string Value)>> _readers = [];
    private readonly HashSet<(Place, string)> _polled = [];
    // The highest that a reader has learned of each leader.
    private readonly Dictionary<(string Reader, string Topic, int Partition, int Epoch), long> _stable = [];

    /// <summary>Transactions whose commit was answered.</summary>
    public int Committed => Count(static transaction => transaction.Outcome == Outcome.Committed);

    /// <summary>Transactions that cannot be committed: no commit was asked for, or an abort was answered.</summary>
    public int NotCommitted => Count(static transaction => transaction.Outcome == Outcome.NotCommitted);

    /// <summary>Transactions whose commit was asked for and not answered.</summary>
    public int Unclear => Count(static transaction => transaction.Outcome == Outcome.Unclear);

    /// <summary>Producers that had a transactional id.</summary>
    public int Instances
    {
        get
        {
            lock (_lock)
                return _instances.Count;
        }
    }

    /// <summary>Takes an event.</summary>
    public void Take(TransactionEvent seen)
    {
        lock (_lock)
        {
            var words = seen.Words;
            switch (seen.Kind)
            {
                case TransactionEventKind.Initialised:
                    _instances[words[1]] = new Instance(words[0], Long(words[2]), seen.Nanos);
                    break;
                case TransactionEventKind.Sending:
                    var source = words[4] == "-" ? null : words[4];
                    var sent = new Sent(words[0], words[1], (int)Long(words[2]), source, seen.Nanos, _sent.Count);
                    Of(words[0]).Values.Add(words[3]);
                    if (!_sent.TryAdd(words[3], sent))
                        throw new InvalidOperationException($"A client sent {words[3]} twice.");
                    break;
                case TransactionEventKind.Stored:
                    Observe(new Place(words[0], (int)Long(words[1]), Long(words[2])), words[3]);
                    break;
                case TransactionEventKind.Asking:
                    Of(words[0]).WasCommitAsked |= words[1] == "Commit";
                    break;
                case TransactionEventKind.Ended:
                    Of(words[0]).Ended = words[1];
                    break;
                case TransactionEventKind.Stable:
                    TakeStable((words[0], words[1], (int)Long(words[2]), (int)Long(words[3])), Long(words[4]));
                    break;
                case TransactionEventKind.Read or TransactionEventKind.Polled:
                    var place = new Place(words[1], (int)Long(words[2]), Long(words[3]));
                    Observe(place, words[4]);
                    if (seen.Kind == TransactionEventKind.Polled)
                        _polled.Add((place, words[4]));
                    else if (_readers.TryGetValue(words[0], out var read))
                        read.Add((place, words[4]));
                    else
                        _readers[words[0]] = [(place, words[4])];
                    break;
            }
        }
    }

    /// <summary>Judges everything. Called once, when all clients are gone and nothing is open.</summary>
    /// <param name="committed">What a reader of committed records finds in the end, by offset within each partition.</param>
    /// <param name="all">What a reader of all records finds.</param>
    public void Judge(IReadOnlyList<(Place Place, string Value)> committed, IReadOnlyList<(Place Place, string Value)> all)
    {
        lock (_lock)
        {
            foreach (var (place, value) in committed.Concat(all))
                Observe(place, value);
            var found = new Dictionary<string, Place>();
            foreach (var (place, value) in committed)
            {
                if (!found.TryAdd(value, place))
                    violations.Report(ViolationKind.Doubled, $"{value} is committed as {found[value]} and {place}.");
                JudgeVisible(place, value, "the last reader");
            }
            foreach (var (place, _) in committed.Except(all))
                violations.Report(ViolationKind.Changed, $"the reader of all records did not find {place}, which is committed.");
            foreach (var (place, value) in _polled)
                JudgeVisible(place, value, "a member of the group");
            foreach (var (name, read) in _readers)
                JudgeReader(name, read, committed);
            foreach (var (name, transaction) in _transactions)
                JudgeWhole(name, transaction, found);
            JudgeOrder(committed);
            JudgeFenced(found);
            JudgeCycles(found);
        }
    }

    /// <summary>Judges that every committed value of a topic has one committed copy, and nothing else has.</summary>
    /// <param name="topic">The topic that was copied.</param>
    /// <param name="committed">What a reader of committed records finds in the end, of all topics.</param>
    /// <param name="next">The group's committed offset of each partition of the topic.</param>
    public void JudgeCopies(string topic, IReadOnlyList<(Place Place, string Value)> committed, IReadOnlyDictionary<int, long> next)
    {
        lock (_lock)
        {
            var copies = new Dictionary<string, string>();
            foreach (var (_, value) in committed)
            {
                if (_sent.GetValueOrDefault(value)?.Source is { } source && !copies.TryAdd(source, value))
                    violations.Report(ViolationKind.Doubled, $"{source} has the copies {copies[source]} and {value}.");
            }
            foreach (var (place, value) in committed.Where(record => record.Place.Topic == topic))
            {
                if (!copies.Remove(value, out var copy))
                    violations.Report(ViolationKind.Lost, $"{value}, {place}, has no copy; the group's offset is {next[place.Partition]}.");
                else if (place.Offset >= next[place.Partition])
                    violations.Report(ViolationKind.Torn, $"{value}, {place}, has the copy {copy}, but the group's offset is "
                        + $"{next[place.Partition]}.");
            }
            foreach (var (source, copy) in copies)
                violations.Report(ViolationKind.AbortedRead, $"{copy} is a copy of {source}, which is not committed.");
        }
    }

    private int Count(Func<Transaction, bool> which)
    {
        lock (_lock)
            return _transactions.Values.Count(which);
    }

    private Transaction Of(string name)
    {
        if (!_transactions.TryGetValue(name, out var transaction))
            _transactions[name] = transaction = new Transaction();
        return transaction;
    }

    private void Observe(Place place, string value)
    {
        if (!_places.TryAdd(place, value) && _places[place] != value)
            violations.Report(ViolationKind.Changed, $"{place} is {value}, and was {_places[place]}.");
    }

    // What a reader of committed records sees is of a transaction that may have been committed.
    private void JudgeVisible(Place place, string value, string reader)
    {
        if (_sent.GetValueOrDefault(value) is not { } sent || (sent.Topic, sent.Partition) != (place.Topic, place.Partition))
            violations.Report(ViolationKind.NeverSent, $"{reader} saw {value}, {place}, which was not sent there.");
        else if (_transactions[sent.Transaction].Outcome == Outcome.NotCommitted)
            violations.Report(ViolationKind.AbortedRead, $"{reader} saw {value}, {place}, of {sent.Transaction}, which is "
                + $"{_transactions[sent.Transaction]}.");
    }

    private void JudgeReader(string name, List<(Place Place, string Value)> read, IReadOnlyList<(Place Place, string Value)> committed)
    {
        foreach (var partition in read.GroupBy(static record => (record.Place.Topic, record.Place.Partition)))
        {
            var last = -1L;
            foreach (var (place, value) in partition)
            {
                if (place.Offset <= last)
                    violations.Report(ViolationKind.Reordered, $"{name} saw {place} after {last}.");
                last = Math.Max(last, place.Offset);
                JudgeVisible(place, value, name);
            }
            var passed = committed.Where(record => (record.Place.Topic, record.Place.Partition) == partition.Key
                && record.Place.Offset <= last);
            foreach (var (place, value) in passed.Except(partition))
                violations.Report(ViolationKind.Hole, $"{name} did not see {value}, {place}, though it read until {last}.");
        }
    }

    private void JudgeWhole(string name, Transaction transaction, Dictionary<string, Place> found)
    {
        var missing = transaction.Values.Where(value => !found.ContainsKey(value)).ToList();
        if (missing.Count == 0 || transaction.Outcome == Outcome.NotCommitted)
            return;
        if (transaction.Outcome == Outcome.Committed)
            violations.Report(ViolationKind.Lost, $"{string.Join(", ", missing)} of {name}, which is {transaction}.");
        else if (missing.Count < transaction.Values.Count)
            violations.Report(ViolationKind.Torn, $"{string.Join(", ", missing)} of {name} is missing, the others are committed; it is "
                + $"{transaction}.");
    }

    private void JudgeOrder(IReadOnlyList<(Place Place, string Value)> committed)
    {
        var latest = new Dictionary<(string, int, string), (int Number, string Value)>();
        foreach (var (place, value) in committed)
        {
            if (_sent.GetValueOrDefault(value) is not { } sent)
                continue;
            var key = (place.Topic, place.Partition, InstanceOf(sent.Transaction));
            if (latest.TryGetValue(key, out var before) && before.Number > sent.Number)
                violations.Report(ViolationKind.Reordered, $"{value}, {place}, was sent before {before.Value}.");
            latest[key] = (sent.Number, value);
        }
    }

    // What a producer sends after another has taken its transactional id is never committed. Two that ask for the id at the same time have
    // no order.
    private void JudgeFenced(Dictionary<string, Place> found)
    {
        var heirs = _instances.ToDictionary(static one => one.Key, one => _instances
            .Where(other => other.Value.Id == one.Value.Id && other.Value.Asked > one.Value.Ready)
            .Select(static other => other.Value.Ready).DefaultIfEmpty(long.MaxValue).Min());
        foreach (var (value, place) in found)
        {
            if (_sent.GetValueOrDefault(value) is { } sent && heirs.TryGetValue(InstanceOf(sent.Transaction), out var replaced)
                && sent.Nanos > replaced)
                violations.Report(ViolationKind.FencedCommitted, $"{value}, {place}, was sent {(sent.Nanos - replaced) / 1_000_000} ms "
                    + "after another producer had its transactional id.");
        }
    }

    // Another leader may know less for a moment.
    private void TakeStable((string Reader, string Topic, int Partition, int Epoch) leader, long offset)
    {
        if (leader.Epoch < 0)
            return;
        if (_stable.TryGetValue(leader, out var before) && offset < before)
            violations.Report(ViolationKind.WentBack, $"{leader.Reader} learned the last stable offset {offset} of {leader.Topic}-"
                + $"{leader.Partition} after {before} from its leader of epoch {leader.Epoch}.");
        _stable[leader] = Math.Max(before, offset);
    }

    // A copy tells what its transaction has read. A read is on no cycle if its writer has read nothing, or its reader has written nothing
    // that was read: such reads are removed until none is left but those of cycles, and those between cycles.
    private void JudgeCycles(Dictionary<string, Place> found)
    {
        var reads = found.Keys.Select(value => _sent.GetValueOrDefault(value)).OfType<Sent>()
            .Where(sent => sent.Source is { } source && found.ContainsKey(source) && _sent.ContainsKey(source))
            .Select(sent => (Writer: _sent[sent.Source!].Transaction, Reader: sent.Transaction)).ToHashSet();
        for (var before = -1; before != reads.Count;)
        {
            before = reads.Count;
            var readers = reads.Select(static read => read.Reader).ToHashSet();
            var writers = reads.Select(static read => read.Writer).ToHashSet();
            reads.RemoveWhere(read => !readers.Contains(read.Writer) || !writers.Contains(read.Reader));
        }
        if (reads.Count > 0)
            violations.Report(ViolationKind.Cycle, string.Join(", ", reads.Order().Select(static read =>
                $"{read.Reader} has read what {read.Writer} wrote")) + ".");
    }

    private static string InstanceOf(string transaction) => transaction[..transaction.LastIndexOf('/')];

    private static long Long(string word) => long.Parse(word, CultureInfo.InvariantCulture);

    private enum Outcome
    {
        Unknown = 0,
        Committed,
        NotCommitted,
        Unclear,
    }

    private sealed record Instance(string Id, long Asked, long Ready);

    private sealed record Sent(string Transaction, string Topic, int Partition, string? Source, long Nanos, int Number);

    private sealed class Transaction
    {
        public List<string> Values { get; } = [];
        public bool WasCommitAsked { get; set; }
        public string? Ended { get; set; }

        public Outcome Outcome => Ended switch
        {
            "Commit" => Outcome.Committed,
            null when WasCommitAsked => Outcome.Unclear,
            _ => Outcome.NotCommitted,
        };

        public override string ToString() => $"{Outcome} ({(WasCommitAsked ? "its commit was asked for" : "no commit was asked for")}, "
            + $"answered: {Ended ?? "nothing"})";
    }
}
