using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Compaction;

/// <summary>Random logs, cleaned repeatedly, compared with a small model.</summary>
public class CompactionModelTests
{
    [Fact]
    public void Survivors_equal_those_of_the_model()
    {
        var given = Environment.GetEnvironmentVariable("OMQ_SEED");
        foreach (var seed in given is null ? Enumerable.Range(0, 150) : [int.Parse(given)])
        {
            try
            {
                Run(seed);
            }
            catch (Exception exception)
            {
                throw new Xunit.Sdk.XunitException($"Seed {seed}: replay with OMQ_SEED={seed} dotnet test Tests/Engine --filter "
                    + $"{nameof(Survivors_equal_those_of_the_model)}\n{exception}");
            }
        }
    }

    private static void Run(int seed)
    {
        var random = new Random(seed);
        var disk = new MemoryFileSystem(tracksPowerCuts: false);
        var test = new TestLog(disk, TestLog.Compacted with { SegmentBytes = random.Next(500, 5000) });
        var model = new Model(test.Log.Config.DeleteRetentionMs);
        var sequences = new int[3];
        for (var step = 0; step < 150; step++)
        {
            test.Time.Advance(random.Next(300));
            switch (random.Next(12))
            {
                case 0:
                    test.Roll();
                    break;
                case 1:
                    var highWatermark = random.Next(3) == 0 ? model.RandomBoundary(random, test.Log.LogEndOffset) : test.Log.LogEndOffset;
                    var decision = test.Compact(random.Next(2) == 0 ? 24 * 16 : 1 << 20, highWatermark).Decision;
                    if (decision.ShouldClean)
                        model.Clean(decision.FirstUncleanableOffset, test.Time.NowMs);
                    Assert.Equal(model.Entries(), test.ReadAll());
                    break;
                case 2 when random.Next(4) == 0:
                    test = new TestLog(disk = disk.ProcessKill(), test.Log.Config, test.Time);
                    Assert.Equal(model.Entries(), test.ReadAll());
                    break;
                default:
                    var producer = random.Next(4);
                    // Also more keys than the smallest map has room for.
                    var (most, keys) = random.Next(8) == 0 ? (60, 80) : (6, 20);
                    var records = Enumerable.Range(0, random.Next(1, most))
                        .Select(i => ((string?)$"k{random.Next(keys)}", random.Next(5) == 0
                            ? null : $"{step}.{i}{new string('x', random.Next(60))}")).ToArray();
                    var codec = random.Next(4) == 0 ? CompressionType.Gzip : CompressionType.None;
                    var offset = test.Append(codec, producer == 3 ? -1 : producer, producer == 3 ? -1 : sequences[producer], records);
                    if (producer < 3)
                        sequences[producer] += records.Length;
                    model.Append(offset, test.Time.NowMs, records);
                    break;
            }
        }
        for (var i = 0; i < 3; i++)
            Assert.Equal(sequences[i] == 0 ? -1 : sequences[i] - 1, test.Log.State.Producers.TryGet(i, out var state)
                ? state[0].LastSequence : -1);
    }

    private sealed class Model(long deleteRetentionMs)
    {
        private readonly List<Batch> _batches = [];

        public void Append(long offset, long now, (string? Key, string? Value)[] records) =>
            _batches.Add(new Batch(offset, [.. records.Select((r, i) => new Entry(offset + i, now, r.Key, r.Value))]));

        public List<Entry> Entries() => [.. _batches.SelectMany(b => b.Entries)];

        public long RandomBoundary(Random random, long end) => _batches.Count == 0 ? end : _batches[random.Next(_batches.Count)].Offset;

        public void Clean(long end, long now)
        {
            var latest = new Dictionary<string, long>();
            foreach (var entry in _batches.Where(b => b.Offset < end).SelectMany(b => b.Entries))
                latest[entry.Key!] = entry.Offset;
            foreach (var batch in _batches.Where(b => b.Offset < end))
            {
                batch.Entries.RemoveAll(e => latest[e.Key!] > e.Offset || (e.Value is null && batch.Horizon < now));
                if (batch.Entries.Any(e => e.Value is null))
                    batch.Horizon ??= now + deleteRetentionMs;
            }
        }

        private sealed class Batch(long offset, List<Entry> entries)
        {
            public long Offset { get; } = offset;
            public List<Entry> Entries { get; } = entries;
            public long? Horizon { get; set; }
        }
    }
}
