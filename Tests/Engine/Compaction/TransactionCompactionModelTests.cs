using OrleansMq.Storage;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Engine.Compaction;

/// <summary>Random logs with transactions, cleaned repeatedly, compared with a small model: at every position clients read what is
/// committed, and the log alone tells a new replica and a recovery the same state.</summary>
public sealed class TransactionCompactionModelTests(ITestOutputHelper output)
{
    private const int Rounds = 25;
    private const int Producers = 4;

    [Fact]
    public void Readers_and_recovery_find_the_same_in_a_compacted_log()
    {
        var first = Seeds.Next();
        output.WriteLine($"Seeds from {first}.");
        var (markers, gone) = (0L, 0L);
        for (var seed = first; seed - first < Rounds; seed++)
        {
            try
            {
                var (written, left) = Run(seed);
                (markers, gone) = (markers + written, gone + written - left);
            }
            catch (Exception exception)
            {
                throw new Xunit.Sdk.XunitException($"{Seeds.Replay(seed)} --filter {nameof(TransactionCompactionModelTests)}\n{exception}");
            }
        }
        Assert.True(gone > markers / 4, $"{gone} of {markers} markers went.");
    }

    private static (int Written, int Left) Run(int seed)
    {
        var random = new Random(seed);
        var log = new TransactionalLog(new MemoryFileSystem(tracksPowerCuts: false),
            TestLog.Compacted with { SegmentBytes = random.Next(300, 3000), DeleteRetentionMs = random.Next(3) * 500 });
        var model = new Model(log.Log.Config.DeleteRetentionMs);
        var markers = 0;
        for (var step = 0; step < 150; step++)
        {
            log.Test.Time.Advance(random.Next(200));
            // Some are forgotten after a while and never come back.
            var producer = random.Next(Producers) + (random.Next(2) == 0 ? step / 40 * Producers : 0);
            switch (random.Next(14))
            {
                case 0:
                    log.Test.Roll();
                    break;
                case 1 or 2:
                    Clean(log, model, random);
                    break;
                case 3 when random.Next(3) == 0:
                    log = log.Reopened();
                    break;
                case 4 when random.Next(2) == 0:
                    model.Forgotten.UnionWith(StateOf(log).Where(static state => state.Open < 0).Select(static state => state.Id));
                    log.Forget();
                    break;
                case 5 or 6 or 7 or 8:
                    producer = model.AnyOpen(random) ?? producer;
                    var isCommit = random.Next(2) == 0;
                    // Also without a transaction, and by brokers that write no number.
                    var marker = log.End(producer, isCommit, step / 50, raisesEpoch: random.Next(3) == 0, hasNumber: random.Next(6) > 0);
                    model.End(producer, isCommit, marker);
                    markers++;
                    break;
                default:
                    var records = Enumerable.Range(0, random.Next(1, 5)).Select(i => ((string?)$"k{random.Next(12)}",
                        random.Next(6) == 0 ? null : $"{step}.{i}")).ToArray();
                    if (random.Next(4) == 0 && !model.IsOpen(producer))
                        model.Append(-1, log.Test.Append(CompressionType.None, -1, -1, records), log.Test.Time.NowMs, records);
                    else
                        model.Append(producer, log.Data(producer, records), log.Test.Time.NowMs, records);
                    break;
            }
        }
        foreach (var producer in Enumerable.Range(0, 4 * Producers).Where(model.IsOpen))
            model.End(producer, isCommit: false, log.End(producer, isCommit: false));
        for (var i = 0; i < 4; i++)
        {
            log.Test.Time.Advance(2000);
            model.Append(-1, log.Test.Append(CompressionType.None, -1, -1, ("k0", "last")), log.Test.Time.NowMs, [("k0", "last")]);
            log.Test.Roll();
            Clean(log, model, random);
        }
        return (markers, log.Markers().Count());
    }

    private static void Clean(TransactionalLog log, Model model, Random random)
    {
        var end = log.Log.LogEndOffset;
        var stable = log.Log.State.Transactions.StableOffset(end);
        Assert.Equal(model.StableOffset(end), stable);
        var decision = log.Test.Compact(random.Next(3) == 0 ? 24 * 8 : 1 << 20).Decision;
        Assert.True(decision.FirstUncleanableOffset <= Math.Max(stable, log.Log.LogStartOffset), "It cleaned what is open.");
        if (decision.ShouldClean)
            model.Clean(decision.FirstUncleanableOffset, log.Test.Time.NowMs);
        Compare(log, model, random, 1);
        // Of a producer that was forgotten and came back, the log may tell more than the broker knows.
        var before = StateOf(log).Where(state => !model.Forgotten.Contains(state.Id)).ToList();
        foreach (var other in (TransactionalLog[])[log.Scanned(), log.WithoutNewestSnapshot(), log.Replicated()])
        {
            Compare(other, model, random, 1 + (int)end / 10);
            Assert.Equal(before, StateOf(other).Where(state => !model.Forgotten.Contains(state.Id)));
            Assert.Equal(log.Log.State.Transactions.Open().Select(static open => (open.First, open.ProducerId, open.Epoch)),
                other.Log.State.Transactions.Open().Select(static open => (open.First, open.ProducerId, open.Epoch)));
            Assert.Equal(stable, other.Log.State.Transactions.StableOffset(end));
        }
    }

    private static void Compare(TransactionalLog log, Model model, Random random, int stride)
    {
        var expected = model.Committed(log.Log.LogEndOffset);
        Assert.Equal(expected, log.CommittedOfBroker(0));
        for (var from = 0L; from <= log.Log.LogEndOffset; from += stride)
            Assert.Equal(expected.Where(entry => entry.Offset >= from), log.Committed(from, random.Next(1, 600)));
    }

    // What the checks of the next batch or marker go by. When it was appended is not in the log.
    private static IEnumerable<(long Id, short Epoch, int CoordinatorEpoch, long Number, long Open, (int, long)? Newest)> StateOf(
        TransactionalLog log) => [.. log.Log.State.Producers.Producers.OrderBy(static producer => producer.Key)
            .Select(static producer => (producer.Key, producer.Value.Epoch, producer.Value.CoordinatorEpoch,
                producer.Value.LastTransactionNumber, producer.Value.CurrentTransactionFirstOffset,
                producer.Value.Count > 0 ? (producer.Value[0].LastSequence, producer.Value[0].LastOffset) : ((int, long)?)null))];

    private sealed class Model(long deleteRetentionMs)
    {
        private readonly List<Batch> _batches = [];
        private readonly Dictionary<long, long> _open = [];

        public HashSet<long> Forgotten { get; } = [];

        public int? AnyOpen(Random random) =>
            _open.Count == 0 || random.Next(8) == 0 ? null : (int)_open.Keys.ElementAt(random.Next(_open.Count));

        public bool IsOpen(int producer) => _open.ContainsKey(producer);

        public void Append(long producer, long offset, long now, (string? Key, string? Value)[] records)
        {
            _batches.Add(new Batch(offset, producer, [.. records.Select((r, i) => new Entry(offset + i, now, r.Key, r.Value))]));
            if (producer >= 0)
                _open.TryAdd(producer, offset);
        }

        public void End(int producer, bool isCommit, long marker)
        {
            if (!_open.Remove(producer, out var first) || isCommit)
                return;
            foreach (var batch in _batches.Where(batch => batch.Producer == producer && batch.Offset >= first && batch.Offset < marker))
                batch.Entries.Clear();
        }

        public long StableOffset(long end) => _open.Values.Append(end).Min();

        public List<Entry> Committed(long end) =>
            [.. _batches.Where(batch => batch.Offset < StableOffset(end)).SelectMany(static batch => batch.Entries)];

        public void Clean(long end, long now)
        {
            var latest = new Dictionary<string, long>();
            foreach (var entry in _batches.Where(batch => batch.Offset < end).SelectMany(static batch => batch.Entries))
                latest[entry.Key!] = entry.Offset;
            foreach (var batch in _batches.Where(batch => batch.Offset < end))
            {
                batch.Entries.RemoveAll(e => latest[e.Key!] > e.Offset || (e.Value is null && batch.Horizon < now));
                if (batch.Entries.Any(static e => e.Value is null))
                    batch.Horizon ??= now + deleteRetentionMs;
            }
        }

        private sealed class Batch(long offset, long producer, List<Entry> entries)
        {
            public long Offset { get; } = offset;
            public long Producer { get; } = producer;
            public List<Entry> Entries { get; } = entries;
            public long? Horizon { get; set; }
        }
    }
}
