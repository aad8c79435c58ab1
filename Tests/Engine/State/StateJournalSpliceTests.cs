using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using OrleansMq.Diagnostics;
using OrleansMq.Records;
using OrleansMq.State;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Engine.State;

/// <summary>Changes that the journal holds as differences from the version before.</summary>
public sealed class StateJournalSpliceTests(ITestOutputHelper output)
{
    private const string Key = "group/orders";
    private const string Journal = "/data/journal";
    private const string First = Journal + "/000000000000.journal";
    private const string Second = Journal + "/000000000001.journal";

    private readonly MemoryFileSystem _files = Empty();

    private static MemoryFileSystem Empty()
    {
        var files = new MemoryFileSystem();
        files.CreateDirectory("/data");
        files.FlushDirectory("/");
        return files;
    }

    private static JournaledStateStore Open(IFileSystem files, int limit = JournaledStateStore.DefaultLimit,
        long movedLimit = JournaledStateStore.DefaultMovedLimit, TimeSpan? lag = null) => JournaledStateStore.Open(files, Journal,
            FileStateStore.Open(files, "/data/state"), EngineLog.Silent, limit, lag, movedLimit: movedLimit);

    // JSON with items of 14 bytes.
    private static byte[] Document(int items, string last = "last") => Encoding.UTF8.GetBytes(
        $"[{string.Concat(Enumerable.Range(0, items).Select(static item => $"\"item {item:d6}\","))}\"{last}\"]");

    // With blanks behind the first byte, of which each one more moves the rest.
    private static byte[] Padded(int blanks) => [(byte)'[', .. Enumerable.Repeat((byte)' ', blanks), .. Document(1000).AsSpan(1)];

    private static string? Text(byte[]? value) => value is null ? null : Encoding.UTF8.GetString(value);

    private static List<JournaledChange> Read(IFileSystem files)
    {
        var read = new List<JournaledChange>();
        StateJournal.Open(files, Journal, read.Add).Dispose();
        return read;
    }

    private static void AssertLast(IFileSystem files, long version, byte[] value)
    {
        var last = Read(files)[^1];
        Assert.Equal((Key, version, Text(value)), (last.Key, last.Version, Text(last.Value)));
    }

    private static void Edit(IFileSystem files, Action<IFile> edit)
    {
        using var file = files.Open(First, FileOpening.ReadWrite);
        edit(file);
    }

    [Fact]
    public void Change_of_a_large_document_takes_the_room_of_the_difference()
    {
        const int Changes = 20;
        using (var journal = new Writer(_files))
        {
            journal.Append(new JournaledChange(Key, 1, Document(2000)));
            var whole = journal.Length;
            Assert.True(whole > 2000 * 14);
            for (var version = 2; version <= Changes; version++)
                journal.Append(new JournaledChange(Key, version, Document(2000, $"change {version}")));
            Assert.InRange(journal.Length - whole, 1, Changes * 100);
        }
        AssertLast(_files, Changes, Document(2000, $"change {Changes}"));
    }

    [Theory]
    [InlineData(2000, 3000)]
    [InlineData(3000, 2000)]
    [InlineData(2000, 2000)]
    [InlineData(2000, 10)]
    [InlineData(10, 2000)]
    [InlineData(2000, 0)]
    public void Value_whose_ends_overlap_is_read_as_it_was(int before, int after)
    {
        byte[] was = [.. Enumerable.Repeat((byte)'a', before)];
        byte[] value = [.. Enumerable.Repeat((byte)'a', after)];
        using (var journal = new Writer(_files))
        {
            journal.Append(new JournaledChange(Key, 1, was));
            journal.Append(new JournaledChange(Key, 2, value));
        }
        AssertLast(_files, 2, value);
    }

    [Fact]
    public void Last_changes_of_a_frame_are_read()
    {
        JournaledChange[] changes =
        [
            new(Key, 1, Document(1000)), new("group/other", 1, Document(500)), new(Key, 2, Document(1000, "second")),
            new(Key, 3, Document(1001, "third")), new(Key, 3, null), new(Key, 4, Document(1001, "fourth")),
            new(Key, 5, Document(1001, "fifth")),
        ];
        using (var journal = new Writer(_files))
        {
            journal.Append(changes);
            // Two are whole since none is before them, and one since that before it is a deletion.
            Assert.InRange(journal.Length, 2500 * 14, 2600 * 14);
        }
        Assert.Equal(LastOf(changes), Texts(Read(_files)));
        for (var count = 1; count < changes.Length; count++)
        {
            var files = Empty();
            using (var journal = new Writer(files))
                journal.Append(changes[..count]);
            Assert.Equal(LastOf(changes[..count]), Texts(Read(files)));
        }

        static IEnumerable<(string, long, string?)> LastOf(JournaledChange[] changes) =>
            Texts(changes.GroupBy(static change => change.Key).Select(static ofOne => ofOne.Last()));

        static IEnumerable<(string, long, string?)> Texts(IEnumerable<JournaledChange> changes) =>
            changes.OrderBy(static change => change.Key, StringComparer.Ordinal)
                .Select(static change => (change.Key, change.Version, Text(change.Value)));
    }

    /// <summary>Splices that make the value longer and shorter, at any place, in one file.</summary>
    [Fact]
    public void Splice_follows_any_number_of_others()
    {
        var seed = Seeds.Next();
        output.WriteLine(Seeds.Replay(seed));
        foreach (var count in (int[])[2, 3, 20, 300])
        {
            var random = new Random(seed + count);
            var files = Empty();
            var text = $"\"{new string('a', 5000)}\"";
            using (var journal = new Writer(files))
            {
                for (var version = 1; version <= count; version++)
                {
                    text = Edited(text, random);
                    journal.Append(new JournaledChange(Key, version, Encoding.UTF8.GetBytes(text)));
                }
            }
            AssertLast(files, count, Encoding.UTF8.GetBytes(text));
        }
    }

    [Fact]
    public void First_change_in_a_file_is_whole()
    {
        using (var journal = new Writer(_files))
        {
            journal.Append(new JournaledChange(Key, 1, Document(1000)));
            journal.Append(new JournaledChange(Key, 2, Document(1000, "second")));
            journal.Rotate();
            journal.Append(new JournaledChange(Key, 3, Document(1000, "third")));
            Assert.True(journal.Length > 1000 * 14);
            journal.Append(new JournaledChange(Key, 4, Document(1000, "fourth")));
        }
        StateJournal.DeleteBefore(_files, Journal, 1);
        AssertLast(_files, 4, Document(1000, "fourth"));
    }

    [Fact]
    public void Moved_bytes_are_those_behind_the_splices_of_the_file()
    {
        var length = Document(1000).Length - 1;
        using var journal = new Writer(_files);
        journal.Append(new JournaledChange(Key, 1, Padded(0)), new JournaledChange(Key, 2, Padded(1)));
        Assert.Equal(length, journal.MovedBytes);
        journal.Append(new JournaledChange(Key, 3, Padded(2)), new JournaledChange(Key, 4, Padded(3)));
        Assert.Equal(3 * length, journal.MovedBytes);
        // At the end there is nothing behind it.
        journal.Append(new JournaledChange(Key, 5, [.. Padded(3), (byte)' ']));
        journal.Append(new JournaledChange("group/small", 1, [1]), new JournaledChange("group/small", 2, [2]));
        journal.Append(new JournaledChange(Key, 5, null));
        Assert.Equal(3 * length, journal.MovedBytes);
        journal.Rotate();
        Assert.Equal(0, journal.MovedBytes);
        journal.Append(new JournaledChange(Key, 6, Padded(0)));
        Assert.Equal(0, journal.MovedBytes);
    }

    [Fact]
    public void Splices_that_are_not_stored_move_nothing()
    {
        var fails = false;
        using var journal = new Writer(new FaultyFiles(_files)
        {
            OnWrite = (_, _, _) =>
            {
                if (fails)
                    throw new IOException("The disk failed.");
            },
        });
        journal.Append(new JournaledChange(Key, 1, Padded(0)), new JournaledChange(Key, 2, Padded(1)));
        Assert.NotEqual(0, journal.MovedBytes);
        fails = true;
        Assert.Throws<IOException>(() => journal.Append(new JournaledChange(Key, 3, Padded(2))));
        Assert.Equal(0, journal.MovedBytes);
    }

    /// <summary>The next change is in a new file then, and the one before goes.</summary>
    [Theory]
    [InlineData(5, true)]
    [InlineData(6, false)]
    public async Task Documents_follow_when_a_start_would_move_as_much_as_the_limit(int splices, bool isReached)
    {
        var store = Open(_files, movedLimit: splices * (Document(1000).Length - 1), lag: TimeSpan.FromHours(1));
        for (var version = 1; version <= 6; version++)
            await store.WriteAsync(Key, Padded(version), version == 1 ? null : $"{version - 1}");
        Assert.False(_files.FileExists(Second));
        await store.WriteAsync(Key, Padded(7), "6");
        Assert.Equal(isReached, _files.FileExists(Second));
        if (isReached)
            await Wait.UntilAsync(() => !_files.FileExists(First), TimeSpan.FromSeconds(30));
        var after = Open(_files.ProcessKill());
        Assert.Equal(Text(Padded(7)), await TextAsync(after, Key));
        Assert.Equal("7", (await after.ReadAsync(Key))!.ETag);
    }

    [Theory]
    [InlineData(2000, 10_000, false)]
    [InlineData(2000, 5_000, true)]
    [InlineData(1000, 10_000, true)]
    public async Task Document_ends_the_file_unless_it_is_large_and_not_too_large(int items, int limit, bool ends)
    {
        var store = Open(_files, limit, lag: TimeSpan.FromHours(1));
        await store.WriteAsync(Key, Document(items), null);
        await store.WriteAsync(Key, Document(items, "second"), "1");
        if (ends)
            await Wait.UntilAsync(() => !_files.FileExists(First), TimeSpan.FromSeconds(30));
        else
            Assert.Equal((true, false), (_files.FileExists(First), _files.FileExists(Second)));
        Assert.Equal(Text(Document(items, "second")), await TextAsync(Open(_files.ProcessKill()), Key));
    }

    [Fact]
    public async Task Splices_of_a_large_document_end_the_file_at_the_limit()
    {
        var store = Open(_files, limit: 10_000, lag: TimeSpan.FromHours(1));
        await store.WriteAsync(Key, Document(2000), null);
        await store.WriteAsync(Key, Document(2000, new string('a', 6000)), "1");
        await store.WriteAsync(Key, Document(2000, new string('b', 6000)), "2");
        Assert.False(_files.FileExists(Second));
        await store.WriteAsync(Key, Document(2000, "last but one"), "3");
        Assert.True(_files.FileExists(Second));
        Assert.Equal(Text(Document(2000, "last but one")), await TextAsync(Open(_files.ProcessKill()), Key));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Torn_splice_at_the_end_is_not_read(bool isShort)
    {
        long end;
        using (var journal = new Writer(_files))
        {
            journal.Append(new JournaledChange(Key, 1, Document(1000)));
            journal.Append(new JournaledChange(Key, 2, Document(1000, "second")));
            end = journal.Length;
        }
        Edit(_files, file =>
        {
            if (isShort)
                file.SetLength(end - 1);
            else
                file.Write([0xff], end - 1);
        });
        AssertLast(_files, 1, Document(1000));
    }

    [Fact]
    public void Splice_without_its_version_before_is_damage()
    {
        using (var journal = new Writer(_files))
        {
            journal.Claim(new JournaledChange(Key, 1, Document(1000)));
            journal.Append(new JournaledChange(Key, 2, Document(1000, "second")));
            Assert.True(journal.Length < 100);
        }
        AssertDamaged("does not follow version 1");
    }

    [Fact]
    public void Splice_of_a_version_that_was_skipped_is_damage()
    {
        using (var journal = new Writer(_files))
        {
            journal.Append(new JournaledChange(Key, 1, Document(1000)));
            journal.Claim(new JournaledChange(Key, 2, Document(1000)));
            journal.Append(new JournaledChange(Key, 3, Document(1000, "third")));
        }
        AssertDamaged("does not follow version 2");
    }

    [Fact]
    public void Splice_that_keeps_more_than_there_was_is_damage()
    {
        using (var journal = new Writer(_files))
        {
            journal.Append(new JournaledChange(Key, 1, Document(1000)));
            journal.Claim(new JournaledChange(Key, 1, Document(5000)));
            journal.Append(new JournaledChange(Key, 2, Document(5000, "second")));
        }
        AssertDamaged("keeps more than version 1 has");
    }

    private void AssertDamaged(string reason)
    {
        var damaged = Assert.Throws<CorruptStateException>(() => Read(_files));
        Assert.Equal(First, damaged.Path);
        Assert.Contains(reason, damaged.Message, StringComparison.Ordinal);
    }

    /// <summary>A journal without splices, as earlier versions wrote it.</summary>
    [Fact]
    public async Task Journal_of_whole_documents_is_read_and_goes_on()
    {
        _files.CreateDirectory(Journal);
        byte[][] frames = [WholeFrame(1, Key, 1, Document(1000)), WholeFrame(2, Key, 2, Document(1000, "second")),
            WholeFrame(3, "group/gone", 1, null)];
        AtomicFile.Write(_files, First, frames.SelectMany(static frame => frame).Concat(new byte[1000]).ToArray());
        Assert.Equal(2, Read(_files).Count);
        var store = Open(_files);
        Assert.Equal(Text(Document(1000, "second")), await TextAsync(store, Key));
        await store.WriteAsync(Key, Document(1000, "third"), "2");
        Assert.Equal(Text(Document(1000, "third")), await TextAsync(Open(_files.ProcessKill()), Key));
    }

    private static byte[] WholeFrame(long number, string key, long version, byte[]? value)
    {
        var frame = new byte[20 + 2 + key.Length + 8 + 4 + (value?.Length ?? 0)];
        BinaryPrimitives.WriteUInt32BigEndian(frame, 0x4f4d514a);
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(8), frame.Length - 20);
        BinaryPrimitives.WriteInt64BigEndian(frame.AsSpan(12), number);
        BinaryPrimitives.WriteUInt16BigEndian(frame.AsSpan(20), (ushort)key.Length);
        Encoding.ASCII.GetBytes(key, frame.AsSpan(22));
        BinaryPrimitives.WriteInt64BigEndian(frame.AsSpan(22 + key.Length), version);
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(30 + key.Length), value?.Length ?? -1);
        value?.CopyTo(frame, 34 + key.Length);
        BinaryPrimitives.WriteUInt32BigEndian(frame.AsSpan(4), Crc32C.Compute(frame.AsSpan(8)));
        return frame;
    }

    private static async Task<string?> TextAsync(JournaledStateStore store, string key) =>
        await store.ReadAsync(key) is { } document ? Encoding.UTF8.GetString(document.Value.Span) : null;

    [Fact]
    public async Task Killed_store_reads_its_splices_again()
    {
        var store = Open(_files);
        await store.WriteAsync(Key, Document(1000), null);
        _files.ResetTraffic();
        await store.WriteAsync(Key, Document(1000, "second"), "1");
        Assert.InRange(_files.Traffic[First].BytesWritten, 1, 200);
        var files = _files.ProcessKill();
        var after = Open(files);
        Assert.Equal(Text(Document(1000, "second")), await TextAsync(after, Key));
        await after.WriteAsync(Key, Document(1000, "third"), "2");
        await after.DisposeAsync();
        Assert.Equal("3", (await FileStateStore.Open(files, "/data/state").ReadAsync(Key))!.ETag);
    }

    /// <summary>What the failed change has left in memory or on the disk is no version before.</summary>
    [Fact]
    public async Task Change_after_a_failed_one_is_whole()
    {
        var failures = 0;
        var store = Open(new FaultyFiles(_files)
        {
            OnFlush = path =>
            {
                if (path.EndsWith(StateJournal.Suffix, StringComparison.Ordinal) && failures-- > 0)
                    throw new IOException("The disk failed.");
            },
        });
        await store.WriteAsync(Key, Document(1000), null);
        await store.WriteAsync(Key, Document(1000, "second"), "1");
        failures = 1;
        await Assert.ThrowsAsync<IOException>(async () => await store.WriteAsync(Key, Document(1000, "failed"), "2"));
        Assert.Equal("3", await store.WriteAsync(Key, Document(1000, "third"), "2"));
        Assert.Equal("4", await store.WriteAsync(Key, Document(1000, "fourth"), "3"));
        var files = _files.ProcessKill();
        Assert.Equal(2, files.ListFiles(Journal).Count);
        Assert.Equal([2, 4], Read(files).Select(static change => (int)change.Version));
        files.DeleteFile(First);
        AssertLast(files, 4, Document(1000, "fourth"));
    }

    /// <summary>Changes of random documents, several of one in a batch, between kills, power cuts and clean stops.</summary>
    [Fact]
    public async Task Documents_are_those_of_a_model()
    {
        const int Keys = 4, Rounds = 40, Runs = 10;
        var seed = Seeds.Next();
        output.WriteLine(Seeds.Replay(seed));
        var random = new Random(seed);
        for (var run = 0; run < Runs; run++)
        {
            var files = Empty();
            var store = Open(files, Limit(random), MovedLimit(random));
            var model = new (string? Text, string? ETag)[Keys];
            for (var round = 0; round < Rounds; round++)
            {
                var changes = new List<Task>();
                for (var key = 0; key < Keys; key++)
                {
                    for (var left = random.Next(4); left > 0; left--)
                        model[key] = await ChangeAsync(store, $"group/{key}", model[key], random, changes);
                }
                await Task.WhenAll(changes);
                var end = random.Next(6);
                if (end > 2)
                    continue;
                if (end == 0)
                    await store.DisposeAsync();
                else
                    files = end == 1 ? files.ProcessKill() : files.PowerCut(random);
                store = Open(files, Limit(random), MovedLimit(random));
                for (var key = 0; key < Keys; key++)
                {
                    var stored = await store.ReadAsync($"group/{key}");
                    Assert.True(model[key].ETag == stored?.ETag && model[key].Text == await TextAsync(store, $"group/{key}"),
                        $"{Seeds.Replay(seed)}, run {run}, round {round}, document {key}");
                }
            }
            await store.DisposeAsync();
        }

        static long MovedLimit(Random random) => random.Next(2) == 0 ? JournaledStateStore.DefaultMovedLimit : 10_000;

        static int Limit(Random random) => random.Next(2) == 0 ? JournaledStateStore.DefaultLimit : 20_000;
    }

    // A change of a document that is there is not awaited: its version is known. Returns the document afterwards.
    private static async Task<(string? Text, string? ETag)> ChangeAsync(JournaledStateStore store, string key,
        (string? Text, string? ETag) before, Random random, List<Task> changes)
    {
        if (before is { ETag: { } etag, Text: { } text })
        {
            if (random.Next(10) == 0)
            {
                changes.Add(store.DeleteAsync(key, etag).AsTask());
                await Task.WhenAll(changes);
                return (null, null);
            }
            var edited = Edited(text, random);
            changes.Add(store.WriteAsync(key, Encoding.UTF8.GetBytes(edited), etag).AsTask());
            return (edited, (long.Parse(etag, CultureInfo.InvariantCulture) + 1).ToString(CultureInfo.InvariantCulture));
        }
        var created = Edited("\"\"", random);
        return (created, await store.WriteAsync(key, Encoding.UTF8.GetBytes(created), null));
    }

    // A text in quotes, with a piece of it replaced.
    private static string Edited(string text, Random random)
    {
        var length = random.Next(4) == 0 ? random.Next(6000) : random.Next(50);
        var piece = random.Next(3) == 0 ? new string('a', length)
            : string.Concat(Enumerable.Range(0, length).Select(_ => (char)('a' + random.Next(26))));
        var from = random.Next(1, text.Length);
        var removed = random.Next(Math.Min(random.Next(8) == 0 ? 6000 : 50, text.Length - from));
        return string.Concat(text.AsSpan(0, from), piece, text.AsSpan(from + removed));
    }

    // A journal with what the store knows of its file.
    private sealed class Writer(IFileSystem files) : IDisposable
    {
        private readonly StateJournal _journal = StateJournal.Open(files, Journal, static _ => { });
        private readonly Dictionary<string, JournaledChange> _written = new(StringComparer.Ordinal);

        public long Length => _journal.Length;

        public long MovedBytes => _journal.MovedBytes;

        public void Append(params JournaledChange[] changes)
        {
            _journal.Append(changes, key => _written.TryGetValue(key, out var last) ? last : null);
            foreach (var change in changes)
                Claim(change);
        }

        // The file need not have it.
        public void Claim(JournaledChange change) => _written[change.Key] = change;

        public void Rotate()
        {
            _journal.Rotate();
            _written.Clear();
        }

        public void Dispose() => _journal.Dispose();
    }
}
