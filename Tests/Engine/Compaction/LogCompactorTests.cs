using System.Buffers.Binary;
using OrleansMq.Compaction;
using OrleansMq.Log;
using OrleansMq.Records;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Compaction;

public class LogCompactorTests
{
    private readonly MemoryFileSystem _disk = new();

    [Fact]
    public void Latest_record_of_each_key_survives_with_its_offset_and_time()
    {
        var test = new TestLog(_disk);
        test.Append(("a", "1"), ("b", "2"), ("a", "3"));
        test.Time.Advance(10);
        test.Append(("c", "4"), ("b", "5"));
        test.Roll();
        test.Append(("a", "6"));
        var before = test.ReadAll();

        var result = test.Compact();
        Assert.Equal((1, 1, 1), (result.Passes, result.SegmentsBefore, result.SegmentsAfter));
        Assert.Equal(before.Where(e => e.Offset is 2 or 3 or 4 or 5), test.ReadAll());
        Assert.Equal(6, test.Log.LogEndOffset);
    }

    [Fact]
    public void Active_segment_and_records_above_the_high_watermark_are_not_cleaned()
    {
        var test = new TestLog(_disk);
        test.Append(("a", "1"));
        test.Append(("a", "2"));
        test.Append(("a", "3"));
        test.Roll();
        test.Append(("a", "4"));
        test.Append(("a", "5"));
        test.Compact(highWatermark: 2);
        Assert.Equal([1L, 2, 3, 4], test.ReadAll().Select(e => e.Offset));
        test.Compact();
        Assert.Equal([2L, 3, 4], test.ReadAll().Select(e => e.Offset));
    }

    [Fact]
    public void Tombstone_stays_for_delete_retention_after_its_first_cleaning()
    {
        var test = new TestLog(_disk);
        test.Append(("a", "1"), ("b", "2"));
        test.Append(("a", null));
        test.Roll();
        test.Append(("z", "0"));
        test.Time.Advance(1_000_000);
        test.Compact();
        Assert.Equal([1L, 2, 3], test.ReadAll().Select(e => e.Offset));

        test.Time.Advance(1000);
        Dirty(test, "x");
        test.Compact();
        Assert.Contains(test.ReadAll(), e => e is { Key: "a", Value: null });

        test.Time.Advance(1);
        Dirty(test, "y");
        test.Compact();
        Assert.DoesNotContain(test.ReadAll(), e => e.Key == "a");
    }

    /// <summary>The order that other replicas rely on: limit, mark, announcement, replacement.</summary>
    [Fact]
    public void Tombstones_are_erased_below_the_limit_once_others_know_of_it()
    {
        var test = new TestLog(_disk);
        test.Append(("a", "1"), ("b", "2"));
        test.Append(("a", null));
        test.Append(("b", null));
        test.Roll();
        test.Compact();
        test.Time.Advance(1001);
        Dirty(test, "x");
        var known = new List<(long ErasedEnd, bool IsStillThere)>();
        test.Erasure.OnErasing = () => known.Add((test.Log.ErasedEndOffset, test.ReadAll().Any(e => e.Key == "a")));
        test.Erasure.Limit(3);
        test.Compact();
        Assert.Equal([(3L, true)], known);
        Assert.Equal(["b", "x"], test.ReadAll().Select(e => e.Key));

        // A replica begins to catch up during the scan.
        Dirty(test, "y");
        test.Erasure.Limit(long.MaxValue, 2);
        test.Compact();
        Assert.Single(known);
        Assert.Equal(["b", "x", "y"], test.ReadAll().Select(e => e.Key));

        test.Erasure.Limit(long.MaxValue);
        test.Compact();
        Assert.Equal([(3L, true), (4L, false)], known);
        Assert.Equal(["x", "y"], test.ReadAll().Select(e => e.Key));
    }

    [Fact]
    public void Tombstone_keeps_its_timestamp_when_the_horizon_is_set()
    {
        var test = new TestLog(_disk);
        test.Append(("a", null), ("b", "1"));
        test.Roll();
        var before = test.ReadAll();
        test.Time.Advance(500_000);
        test.Compact();
        Assert.Equal(before, test.ReadAll());
        using var batch = test.Log.Read(0, 2, 1)!;
        var header = RecordBatchHeader.Read(batch.Memory.Span);
        Assert.True(header.HasDeleteHorizon);
        Assert.Equal(test.Time.NowMs + 1000, header.BaseTimestamp);
    }

    [Fact]
    public void Records_without_key_are_removed()
    {
        var test = new TestLog(_disk);
        test.Append((null, "1"), ("a", "2"));
        test.Roll();
        test.Compact();
        Assert.Equal([1L], test.ReadAll().Select(e => e.Offset));
    }

    [Fact]
    public void Last_batch_of_a_producer_stays_empty_to_keep_its_sequence()
    {
        var test = new TestLog(_disk);
        test.Append(CompressionType.Gzip, 7, 0, ("a", "1"), ("b", "1"));
        test.Append(CompressionType.Gzip, 7, 2, ("a", "2"), ("b", "2"));
        test.Append(CompressionType.None, 8, 0, ("a", "3"), ("b", "3"));
        test.Roll();
        test.Append(("c", "4"));
        test.Compact();
        Assert.Equal([4L, 5, 6], test.ReadAll().Select(e => e.Offset));

        // From here on only the log knows of producer 7.
        foreach (var name in _disk.ListFiles(TestLog.Directory)
            .Where(n => n.Contains("0.snapshot") || n.EndsWith(".producers") || n.EndsWith(".snapshot")))
            _disk.DeleteFile(Path.Combine(TestLog.Directory, name));
        var reopened = new TestLog(_disk.ProcessKill(), time: test.Time);
        Assert.True(reopened.Log.State.Producers.TryGet(7, out var state));
        Assert.Equal(3, state[0].LastSequence);
        Assert.Equal(3, state[0].LastOffset);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Largest_timestamp_is_that_of_a_record_where_the_batch_with_a_later_one_is_emptied(bool isAboveStart)
    {
        var test = new TestLog(_disk);
        test.Append(("first", "0"));
        var time = test.Time.NowMs;
        Append(7, time + 2000, "1");
        Append(8, time + 1000, "2");
        test.Roll();
        test.Append(("c", "4"));
        test.Compact();
        Assert.Equal([0L, 2, 3], test.ReadAll().Select(e => e.Offset));
        if (isAboveStart)
            test.Log.MoveLogStart(1, test.Time.NowMs);

        Assert.Equal((2L, time + 1000), Largest(test.Log.LogEndOffset));
        // Below the limit the emptied batch is the newest.
        Assert.Equal(isAboveStart ? null : (0L, time), Largest(2));

        void Append(long producer, long timestamp, string value)
        {
            using var builder = new RecordBatchBuilder(CompressionType.None, TestLog.Codecs);
            builder.Add(timestamp, "a"u8, true, System.Text.Encoding.UTF8.GetBytes(value), true);
            builder.SetProducer(producer, 0, 0);
            test.Append(builder.Build());
        }

        (long Offset, long Timestamp)? Largest(long limit) =>
            test.Log.FindMaxTimestamp(limit) is { } found ? (found.Offset, found.Timestamp) : null;
    }

    [Fact]
    public void Neighbouring_segments_are_merged_within_the_segment_limit()
    {
        var test = new TestLog(_disk, TestLog.Compacted with { SegmentBytes = 1000 });
        for (var i = 0; i < 12; i++)
        {
            test.Append(("k" + i, new string('x', 200)));
            if (i % 2 == 1)
                test.Roll();
        }
        Assert.Equal(7, test.Log.Segments.Count);
        var before = test.ReadAll();
        test.Compact();
        Assert.Equal(before, test.ReadAll());
        Assert.All(test.Log.Segments, s => Assert.InRange(s.Size, 0, 1000));
        Assert.Equal([0L, 2, 4, 6, 8, 10, 12], test.Log.Segments.Select(s => s.BaseOffset)); // 543 bytes each: no two fit in one segment

        test.Log.Config = test.Log.Config with { SegmentBytes = 1500 };
        Dirty(test, "k0");
        test.Compact();
        Assert.Equal(before.Skip(1), test.ReadAll().Where(e => e.Key != "k0"));
        Assert.True(test.Log.Segments.Count < 7, $"{test.Log.Segments.Count} segments");
    }

    [Fact]
    public void Cleaned_point_survives_a_restart()
    {
        var test = new TestLog(_disk, TestLog.Compacted with { MinCleanableDirtyRatio = 0.5 });
        for (var i = 0; i < 10; i++)
            test.Append(("k" + i, new string('x', 500)));
        test.Roll();
        Assert.Equal(CompactionReason.DirtyRatio, test.Compact().Decision.Reason);
        Assert.Equal(CompactionReason.NothingDirty, test.Compact().Decision.Reason);

        var reopened = new TestLog(_disk.ProcessKill(), test.Log.Config, test.Time);
        Assert.Equal(10, reopened.Compact().Decision.FirstDirtyOffset);
        reopened.Append(("k0", "new"));
        reopened.Roll();
        Assert.Equal(CompactionReason.BelowDirtyRatio, reopened.Compact().Decision.Reason);
    }

    [Fact]
    public void Log_with_more_keys_than_the_map_is_cleaned_in_several_passes()
    {
        var one = new TestLog(_disk, directory: "/data/logs/one-0");
        var many = new TestLog(_disk, directory: "/data/logs/many-0");
        foreach (var test in new[] { one, many })
        {
            var random = new Random(5);
            for (var i = 0; i < 400; i++)
            {
                test.Append(("k" + random.Next(150), "v" + i), ("k" + random.Next(150), "w" + i));
                if (i % 50 == 49)
                    test.Roll();
            }
        }
        Assert.Equal(1, one.Compact().Passes);
        Assert.InRange(many.Compact(maxMapBytes: 24 * 60).Passes, 2, 100);
        Assert.Equal(one.ReadAll(), many.ReadAll());
        Assert.InRange(one.ReadAll().Count, 140, 150);
    }

    [Fact]
    public void Batch_with_more_keys_than_the_map_is_cleaned()
    {
        var test = new TestLog(_disk);
        var records = Enumerable.Range(0, 300).Select(i => ((string?)$"k{i}", (string?)"v")).ToArray();
        test.Append(records);
        test.Append(records);
        test.Roll();
        // The map has room for 15 keys, and does not grow.
        Assert.Equal(600 / 15, test.Compact(maxMapBytes: 24 * 20).Passes);
        Assert.Equal(Enumerable.Range(300, 300).Select(i => (long)i), test.ReadAll().Select(e => e.Offset));
    }

    [Theory]
    [InlineData(30_000, 3)] // Room for 22,500 keys: those before the batch, most of it, and the rest.
    [InlineData(100_000, 1)]
    public void Batch_with_more_keys_than_are_kept_is_decoded_twice(int slots, int passes)
    {
        var test = new TestLog(_disk);
        test.Append(("k7", "old"), ("other", "1"));
        var records = Enumerable.Range(0, 30_000).Select(i => ((string?)$"k{i}", (string?)"v")).ToArray();
        test.Append(CompressionType.Gzip, -1, -1, records);
        test.Append(("k29999", "new"));
        test.Roll();
        Assert.Equal(passes, test.Compact(maxMapBytes: 24 * slots).Passes);
        Assert.Equal([1L, .. Enumerable.Range(2, 29_999).Select(i => (long)i), 30_002], test.ReadAll().Select(e => e.Offset));
    }

    [Fact]
    public void Tombstone_beyond_the_keys_of_a_pass_stays_until_the_records_before_it_are_gone()
    {
        var test = new TestLog(_disk);
        // Values and tombstones of the same batch, more keys than a pass has room for.
        (string?, string?)[] values = [.. Enumerable.Range(0, 40).Select(i => ((string?)$"k{i}", (string?)"v"))];
        (string?, string?)[] tombstones = [.. values.Select(value => (value.Item1, (string?)null))];
        test.Append([.. values, .. tombstones]);
        test.Roll();
        test.Compact(maxMapBytes: 24 * 20);
        Assert.All(test.ReadAll(), entry => Assert.Null(entry.Value));
        Assert.Equal(40, test.ReadAll().Count);
        test.Time.Advance(1001);
        Dirty(test, "x");
        test.Compact(maxMapBytes: 24 * 20);
        Assert.Equal(["x"], test.ReadAll().Select(entry => entry.Key));
    }

    /// <summary>A compressed batch may claim as many records as fit 256 MiB. Only those that are decoded take room.</summary>
    [Fact]
    public void Batch_that_claims_more_records_than_it_has_does_not_stop_the_cleaning()
    {
        const int claimed = 30_000_000;
        var test = new TestLog(_disk);
        test.Append(("a", "1"));
        using (var builder = new RecordBatchBuilder(CompressionType.Gzip, TestLog.Codecs))
        {
            builder.Add(test.Time.NowMs, "a"u8, true, "2"u8, true);
            var batch = builder.Build();
            BinaryPrimitives.WriteInt32BigEndian(batch.Span[23..], claimed - 1);
            BinaryPrimitives.WriteInt32BigEndian(batch.Span[57..], claimed);
            RecordBatches.Seal(batch.Span);
            test.Append(batch);
        }
        test.Append(("a", "3"));
        test.Append(("b", "4"));
        test.Roll();
        test.Compact();
        using var first = test.Log.Read(0, test.Log.LogEndOffset, 1)!;
        Assert.Equal((1L, claimed), (RecordBatchHeader.Read(first.Memory.Span).BaseOffset,
            RecordBatchHeader.Read(first.Memory.Span).RecordCount));
    }

    [Fact]
    public void Reader_in_an_old_segment_finishes_there()
    {
        var test = new TestLog(_disk);
        test.Append(("a", "1"));
        test.Append(("a", "2"));
        test.Roll();
        var old = test.Log.Segments[0];
        using (var lease = old.Log.Rent())
        {
            var before = new byte[old.Size];
            lease.File.Read(before, 0);
            test.Compact();
            var after = new byte[old.Size];
            Assert.Equal(before.Length, lease.File.Read(after, 0));
            Assert.Equal(before, after);
        }
        Assert.True(old.IsRemoved);
        Assert.Equal([1L], test.ReadAll().Select(e => e.Offset));
    }

    [Theory]
    [InlineData(5, 0)] // base offset
    [InlineData(30, 0)] // covered by the CRC
    [InlineData(72, 70)] // base offset of the second batch
    [InlineData(81, 70)] // its length
    [InlineData(86, 70)] // its magic
    public void Damaged_batch_stops_the_cleaning_and_is_named(int damagedByte, long position)
    {
        var test = new TestLog(_disk);
        test.Append(("a", "1"));
        test.Append(("a", "2"));
        test.Roll();
        var path = Path.Combine(TestLog.Directory, "00000000000000000000.log");
        using (var file = _disk.Open(path, FileOpening.ReadWrite))
        {
            var b = new byte[1];
            file.Read(b, damagedByte);
            b[0] ^= 4;
            file.Write(b, damagedByte);
        }
        var exception = Assert.Throws<DamagedLogException>(() => test.Compact());
        Assert.Contains(path, exception.Message);
        Assert.Equal(position, exception.Position);
        Assert.Single(_disk.ListFiles(TestLog.Directory), n => n.EndsWith("0.log"));
    }

    [Fact]
    public void Retention_and_compaction_apply_together()
    {
        var test = new TestLog(_disk, TestLog.Compacted with { CleanupDelete = true, RetentionMs = 10_000 });
        test.Append(("a", "1"), ("b", "1"));
        test.Append(("a", "2"));
        test.Roll();
        test.Time.Advance(6000);
        test.Append(("c", "3"));
        test.Roll();
        test.Compact();
        Assert.Equal([1L, 2, 3], test.ReadAll().Select(e => e.Offset));
        test.Time.Advance(20_000);
        test.Append(("d", "4"));
        Assert.NotEqual(0, test.Log.Retain(test.Log.LogEndOffset, test.Time.NowMs, null, out _));
        Assert.Equal(4, test.Log.LogStartOffset);
        test.Compact();
        Assert.Equal([4L], test.ReadAll().Select(e => e.Offset));
    }

    [Theory]
    [InlineData(CompressionType.None)]
    [InlineData(CompressionType.Gzip)]
    [InlineData(CompressionType.Snappy)]
    public void Cleaned_batch_keeps_its_codec(CompressionType compression)
    {
        var test = new TestLog(_disk);
        test.Append(compression, -1, -1, ("a", "1"), ("b", "2"));
        test.Append(("a", "3"));
        test.Roll();
        test.Compact();
        using var batch = test.Log.Read(0, 3, 1)!;
        var header = RecordBatchHeader.Read(batch.Memory.Span);
        Assert.Equal((compression, 1, 1, 0L), (header.Compression, header.RecordCount, header.LastOffsetDelta, header.BaseOffset));
        Assert.Equal([1L, 2], test.ReadAll().Select(e => e.Offset));
    }

    /// <summary>Writes a rolled segment, so that the log is dirty.</summary>
    private static void Dirty(TestLog test, string key)
    {
        test.Append((key, "dirty"));
        test.Roll();
    }
}
