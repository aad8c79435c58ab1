using OrleansMq.Storage;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Engine.Compaction;

/// <summary>A follower cuts a log that it has compacted, at the high watermark or above it. Its transactions are then those of a log that
/// was never compacted, read from the start.</summary>
public sealed class TruncationAfterCompactionTests(ITestOutputHelper output)
{
    private const int Rounds = 40;
    private const int Producers = 4;

    [Fact]
    public void Transactions_of_a_compacted_log_that_is_cut_are_those_of_the_log_read_from_the_start()
    {
        var first = Seeds.Next();
        output.WriteLine($"Seeds from {first}.");
        var (cleanings, reopened) = (0, 0);
        for (var seed = first; seed - first < Rounds; seed++)
        {
            try
            {
                var (cleaned, open) = Run(seed);
                (cleanings, reopened) = (cleanings + cleaned, reopened + open);
            }
            catch (Exception exception)
            {
                throw new Xunit.Sdk.XunitException(
                    $"{Seeds.Replay(seed)} --filter {nameof(TruncationAfterCompactionTests)}\n{exception}");
            }
        }
        Assert.NotEqual(0, cleanings);
        Assert.NotEqual(0, reopened);
    }

    private static (int Cleanings, int Reopened) Run(int seed)
    {
        var random = new Random(seed);
        var config = TestLog.Compacted with { DeleteRetentionMs = random.Next(2) * 500 };
        var log = new TransactionalLog(new MemoryFileSystem(tracksPowerCuts: false), config);
        // The same batches, never compacted.
        var whole = new TransactionalLog(new MemoryFileSystem(tracksPowerCuts: false), config);
        var (cleanings, reopened, highWatermark) = (0, 0, 0L);
        for (var round = 0; round < 4; round++)
        {
            Write(log, whole, random, round * Producers);
            highWatermark = EndOfSome(whole, random, highWatermark);
            if (log.Test.Compact(highWatermark: highWatermark).Decision.ShouldClean)
                cleanings++;
            if (random.Next(3) == 0)
                log = log.Reopened();
            var before = Told.Of(whole);
            var end = EndOfSome(whole, random, highWatermark);
            Truncate(log, end);
            Truncate(whole, end);
            var told = Told.Of(whole);
            reopened += told.Open.Count(one => before.Ended.Any(ended => ended.Producer == one.Producer && ended.First == one.First));
            Compare(log, whole, told, random, highWatermark);
            log = log.Reopened();
            Compare(log, whole, told, random, highWatermark);
            // The next leader's coordinators abort what is left open. Its producers are others.
            foreach (var (_, producer) in told.Open)
                Assert.Equal(whole.End(producer, isCommit: false), log.End(producer, isCommit: false));
        }
        return (cleanings, reopened);
    }

    private static void Write(TransactionalLog log, TransactionalLog whole, Random random, int firstProducer)
    {
        for (var step = 0; step < 60; step++)
        {
            var pause = random.Next(200);
            log.Test.Time.Advance(pause);
            whole.Test.Time.Advance(pause);
            var producer = firstProducer + random.Next(Producers);
            switch (random.Next(10))
            {
                case 0:
                    log.Test.Roll();
                    whole.Test.Roll();
                    break;
                case 1 or 2 or 3:
                    var isCommit = random.Next(2) == 0;
                    Assert.Equal(whole.End(producer, isCommit), log.End(producer, isCommit));
                    break;
                case 4:
                    var plain = ((string?)$"k{random.Next(8)}", (string?)$"{firstProducer}.{step}");
                    log.Test.Append(plain);
                    whole.Test.Append(plain);
                    break;
                default:
                    var records = Enumerable.Range(0, random.Next(1, 4)).Select(i => ((string?)$"k{random.Next(8)}",
                        random.Next(6) == 0 ? null : $"{firstProducer}.{step}.{i}")).ToArray();
                    Assert.Equal(whole.Data(producer, records), log.Data(producer, records));
                    break;
            }
        }
    }

    private static void Compare(TransactionalLog log, TransactionalLog whole, Told told, Random random, long highWatermark)
    {
        var (end, compacted) = (whole.Log.LogEndOffset, log.Log.CompactedEndOffset);
        Assert.Equal(end, log.Log.LogEndOffset);
        Assert.InRange(compacted, 0, highWatermark);
        foreach (var read in (TransactionalLog[])[log, log.Scanned(), log.Replicated()])
        {
            Assert.Equal(told.Open, read.Log.State.Transactions.Open().Select(static open => (open.First, open.ProducerId)));
            Assert.Equal(told.StableOffset(end), read.Log.State.Transactions.StableOffset(end));
            // What is not known for certain after a loss of files holds the offset back.
            for (var i = 0; i < 5; i++)
            {
                var bound = EndOfSome(whole, random, highWatermark);
                Assert.InRange(read.Log.State.Transactions.StableOffset(bound), 0, told.StableOffset(bound));
            }
            var committed = read.Committed(0);
            Assert.Equal(log.CommittedOfBroker(0), committed);
            AssertAborted(told, read, compacted, compacted, end);
        }
        // A compaction removes records, and shows none that is not committed.
        var all = whole.Committed(0);
        Assert.Empty(log.Committed(0).Except(all));
        Assert.Equal(all.Where(entry => entry.Offset >= compacted), log.Committed(compacted));
        for (var i = 0; i < 10; i++)
        {
            var from = random.NextInt64(compacted, end + 1);
            var to = random.NextInt64(from, end + 1);
            AssertAborted(told, log, from, compacted, to);
        }
    }

    // Those that began where nothing was compacted: of the others the log may have no record any more, or not the first.
    private static void AssertAborted(Told told, TransactionalLog log, long from, long compacted, long end)
    {
        var whole = told.Ended.Where(one => one.First >= compacted).ToDictionary(static one => one.Last);
        var expected = whole.Values.Where(one => !one.IsCommit && one.Last >= from && one.First < end && from < end)
            .Select(static one => (one.Producer, one.First, one.Last));
        Assert.Equal(expected, log.Log.FindAborted(log.Log.Segments, from, end)!.Where(one => whole.ContainsKey(one.Last))
            .Select(static one => (one.ProducerId, one.First, one.Last)));
    }

    // A high watermark and a cut are ends of batches.
    private static long EndOfSome(TransactionalLog log, Random random, long least)
    {
        var ends = log.Headers().Select(static header => header.NextOffset).Prepend(0).Where(end => end >= least).ToList();
        return ends.Count == 0 ? least : ends[random.Next(ends.Count)];
    }

    private static void Truncate(TransactionalLog log, long end)
    {
        lock (log.Log.RemovalLock)
            lock (log.Log.AppendLock)
                log.Log.TruncateTo(end);
    }

    /// <summary>What the batches of a log tell of its transactions, one after the other.</summary>
    private sealed class Told
    {
        /// <summary>The open transactions, in the order in which they began.</summary>
        public required List<(long First, long Producer)> Open { get; init; }

        /// <summary>Those that have ended, in the order of their markers.</summary>
        public required List<(long Producer, long First, long Last, bool IsCommit)> Ended { get; init; }

        public static Told Of(TransactionalLog log)
        {
            var open = new Dictionary<long, long>();
            var ended = new List<(long, long, long, bool)>();
            foreach (var header in log.Headers())
            {
                if (!header.IsControl)
                {
                    if (header.IsTransactional)
                        open.TryAdd(header.ProducerId, header.BaseOffset);
                }
                else if (log.MarkerAt(header.BaseOffset) is { } marker && open.Remove(header.ProducerId, out var first))
                {
                    ended.Add((header.ProducerId, first, header.BaseOffset, marker.IsCommit));
                }
            }
            return new Told { Open = [.. open.Select(static one => (one.Value, one.Key)).Order()], Ended = ended };
        }

        public long StableOffset(long highWatermark) => Open.Select(static one => one.First)
            .Concat(Ended.Where(one => one.Last >= highWatermark).Select(static one => one.First)).Append(highWatermark).Min();
    }
}
