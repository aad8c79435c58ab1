using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Compaction;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Log;

/// <summary>A reader that continues where it ended skips the index search, and other readers' ends never mislead it.</summary>
public sealed class ReadMarkTests
{
    private const int Batches = 400;

    private readonly MemoryFileSystem _files = new();

    [Fact]
    public void Reader_that_continues_at_its_end_needs_no_index()
    {
        var log = Filled(roll: true);
        Assert.Equal(10, ReadOne(log, 10));
        var index = log.Log.Segments[0].Index.File.Path;
        log.Log.CloseFiles();
        _files.DeleteFile(index);
        for (var offset = 11L; offset < 60; offset++)
            Assert.Equal(offset, ReadOne(log, offset));
        // At another offset it must search, and finds the index missing.
        Assert.Throws<FileNotFoundException>(() => ReadOne(log, 300));
    }

    [Fact]
    public void Many_readers_of_one_segment_find_their_batches()
    {
        var log = Filled(roll: false);
        var random = new Random(1);
        var places = Enumerable.Range(0, 20).Select(_ => (long)random.Next(Batches)).ToArray();
        for (var round = 0; round < 2000; round++)
        {
            ref var place = ref places[random.Next(places.Length)];
            Assert.Equal(place, ReadOne(log, place));
            place = (place + 1) % Batches;
        }
    }

    [Fact]
    public void Batches_rewritten_after_a_truncation_are_found_at_their_new_position()
    {
        var log = Filled(roll: false);
        for (var offset = 0L; offset < Batches; offset += 7)
            ReadOne(log, offset);
        lock (log.Log.RemovalLock)
            lock (log.Log.AppendLock)
                log.Log.TruncateTo(100);
        for (var i = 100; i < Batches; i++)
            log.Append(("new", new string('n', 50 + i % 90)));
        for (var offset = 90L; offset < Batches; offset++)
            Assert.Equal(offset, ReadOne(log, offset));
    }

    /// <summary>Returns the offset of the one batch found.</summary>
    private static long ReadOne(TestLog log, long offset)
    {
        using var read = log.Log.Read(offset, log.Log.LogEndOffset, maxBytes: 1);
        var header = TestLog.LastBatch(read!.Memory.Span);
        Assert.Equal(header.NextOffset, read.NextOffset);
        return header.BaseOffset;
    }

    private TestLog Filled(bool roll)
    {
        var log = new TestLog(_files, TopicConfig.Default with { RetentionMs = -1, IndexIntervalBytes = 256 });
        for (var i = 0; i < Batches; i++)
            log.Append(("key", new string((char)('a' + i % 26), 100 + i % 50)));
        if (roll)
            log.Roll();
        return log;
    }
}
