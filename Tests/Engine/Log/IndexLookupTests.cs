using OrleansMq.Api;
using OrleansMq.Compression;
using OrleansMq.Records;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Log;

/// <summary>Lookups by offset and by time, compared with a plain list of the appended batches, for logs of any shape.</summary>
public sealed class IndexLookupTests
{
    [Fact]
    public async Task Lookups_equal_a_full_scan()
    {
        var seed = Seeds.Next();
        for (var round = 0; round < 25; round++)
        {
            var random = new Random(unchecked(seed + round));
            await using var rig = await PartitionRig.StartAsync(new TopicConfig
            {
                SegmentBytes = random.Next(300, 20_000),
                IndexIntervalBytes = random.Next(0, 2000),
                SegmentIndexBytes = random.Next(24, 500),
                RetentionMs = -1,
                TimestampAfterMaxMs = long.MaxValue,
            });
            var records = await FillAsync(rig, random);
            await CheckAsync(rig, records, seed);
            switch (round % 3)
            {
                case 0:
                    await rig.RestartAsync();
                    break;
                case 1:
                    await rig.KillAsync();
                    break;
                default:
                    await rig.Partition.DeleteRecordsAsync(random.Next(records.Count));
                    break;
            }
            await CheckAsync(rig, records, seed);
        }
    }

    private static async Task<List<(long Offset, long Timestamp)>> FillAsync(PartitionRig rig, Random random)
    {
        var records = new List<(long, long)>();
        var time = rig.Clock.Now;
        for (var batches = random.Next(1, 150); batches > 0; batches--)
        {
            using var builder = new RecordBatchBuilder(random.Next(4) == 0 ? CompressionType.Gzip : CompressionType.None,
                StandardCodecs.All);
            for (var count = random.Next(1, 12); count > 0; count--)
            {
                time += random.Next(-500, 700);
                builder.Add(time, default, false, new byte[random.Next(200)], true);
                records.Add((records.Count, time));
            }
            Assert.Equal(ErrorCode.None, (await rig.Partition.AppendAsync(builder.Build().ToArray(), Acks.All)).Error);
        }
        return records;
    }

    private static async Task CheckAsync(PartitionRig rig, List<(long Offset, long Timestamp)> all, int seed)
    {
        var records = all.Where(r => r.Offset >= rig.Partition.LogStartOffset).ToList();
        foreach (var (offset, timestamp) in records)
        {
            using var read = await rig.Partition.ReadAsync(new FetchRequest(PartitionRig.Name, offset, MaxBytes: 1));
            using var reader = new RecordReader(read.Records, StandardCodecs.All);
            var found = false;
            while (reader.MoveNext())
                found |= reader.Current.Offset == offset && reader.Current.Timestamp == timestamp;
            Assert.True(found, $"offset {offset}; {Seeds.Replay(seed)}");
        }
        for (var i = 0; i < records.Count; i += 7)
        {
            foreach (var time in (long[])[records[i].Timestamp - 1, records[i].Timestamp, records[i].Timestamp + 1])
            {
                var expected = records.Where(r => r.Timestamp >= time).Select(r => ((long, long)?)r).FirstOrDefault() ?? (-1, -1);
                var result = rig.Partition.FindOffset(OffsetSpec.AtOrAfter(time));
                Assert.True(expected == (result.Offset, result.Timestamp), $"time {time}: {result}, not {expected}; {Seeds.Replay(seed)}");
            }
        }
        var largest = records.Max(r => r.Timestamp);
        Assert.Equal(records.First(r => r.Timestamp == largest), (rig.Partition.FindOffset(OffsetSpec.MaxTimestamp).Offset, largest));
        Assert.Equal(records[0].Offset, rig.Partition.FindOffset(OffsetSpec.Earliest).Offset);
        Assert.Equal(all.Count, rig.Partition.FindOffset(OffsetSpec.Latest).Offset);
        Assert.Null(rig.Partition.OfflineReason);
    }
}
