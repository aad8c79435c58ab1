using System.Text;
using OrleansMq.Diagnostics;
using OrleansMq.State;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Storage;
using OrleansMq.Tests.Shared;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Engine.State;

public sealed class JournaledStateStoreOnDiskTests : StateStoreConformance, IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("omq-state-").FullName;

    private protected override ValueTask<IStateStore> StoreAsync() => new(JournaledStateStore.Open(DiskFileSystem.Instance,
        Path.Combine(_root, "journal"), FileStateStore.Open(DiskFileSystem.Instance, Path.Combine(_root, "state")), EngineLog.Silent));

    public void Dispose() => Directory.Delete(_root, recursive: true);
}

/// <summary>With a limit of one byte: the documents' files follow each change.</summary>
public sealed class CheckpointedStateStoreTests : StateStoreConformance
{
    private protected override ValueTask<IStateStore> StoreAsync()
    {
        var files = new MemoryFileSystem();
        return new(JournaledStateStore.Open(files, "/journal", FileStateStore.Open(files, "/state"), EngineLog.Silent, limit: 1));
    }
}

public sealed class JournaledStateStoreTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);
    private const string Key = "group/orders";
    private const string Journal = "/data/journal";
    private const string File = "/data/state/group/orders.json";

    private readonly MemoryFileSystem _files = Empty();

    private static MemoryFileSystem Empty()
    {
        var files = new MemoryFileSystem();
        files.CreateDirectory("/data");
        files.FlushDirectory("/");
        return files;
    }

    private static JournaledStateStore Open(IFileSystem files, int limit = JournaledStateStore.DefaultLimit) =>
        JournaledStateStore.Open(files, Journal, FileStateStore.Open(files, "/data/state"), EngineLog.Silent, limit);

    private static byte[] Json(int number) => Encoding.UTF8.GetBytes($$"""{"n":{{number}}}""");

    private static string? Text(StateDocument? document) => document is null ? null : Encoding.UTF8.GetString(document.Value.Span);

    [Fact]
    public async Task Changes_are_in_the_journal_and_in_the_files_when_the_store_is_closed()
    {
        var store = Open(_files);
        var etag = await store.WriteAsync(Key, Json(1), null);
        await store.WriteAsync("group/gone", Json(1), null);
        await store.DeleteAsync("group/gone", "1");
        Assert.False(_files.FileExists(File));
        Assert.Single(_files.ListFiles(Journal));
        Assert.Equal([Key], await store.ListAsync("group"));
        await store.WriteAsync(Key, Json(2), etag);
        await store.DisposeAsync();
        Assert.Empty(_files.ListFiles(Journal));
        Assert.Equal(["orders.json"], _files.ListFiles("/data/state/group"));
        Assert.Equal("2", (await FileStateStore.Open(_files, "/data/state").ReadAsync(Key))!.ETag);
    }

    [Fact]
    public async Task Changes_after_the_end_are_refused()
    {
        var store = Open(_files);
        await store.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await store.WriteAsync(Key, Json(1), null));
        await store.DisposeAsync();
    }

    [Fact]
    public async Task Killed_store_reads_its_journal_again()
    {
        var before = Open(_files);
        await before.WriteAsync(Key, Json(1), null);
        await before.WriteAsync("group/gone", Json(1), null);
        await before.DisposeAsync();
        var store = Open(_files);
        await store.WriteAsync(Key, Json(2), "1");
        await store.DeleteAsync("group/gone", "1");
        var files = _files.ProcessKill();
        var after = Open(files);
        Assert.Equal(("""{"n":2}""", "2"), (Text(await after.ReadAsync(Key)), (await after.ReadAsync(Key))!.ETag));
        Assert.Null(await after.ReadAsync("group/gone"));
        Assert.Equal([Key], await after.ListAsync("group"));
        await after.DisposeAsync();
        Assert.Equal([Key], await FileStateStore.Open(files, "/data/state").ListAsync("group"));
    }

    [Fact]
    public async Task Many_changes_share_a_flush()
    {
        var store = Open(_files);
        await store.WriteAsync(Key, Json(1), null);
        _files.ResetTraffic();
        await Task.WhenAll(Enumerable.Range(0, 1000).Select(number => store.WriteAsync($"group/{number}", Json(1), null).AsTask()));
        Assert.InRange(_files.Traffic.Values.Sum(static traffic => traffic.Flushes), 1, 500);
    }

    [Theory]
    [InlineData(1, true)]
    [InlineData(2, false)]
    public async Task Damage_before_the_end_is_named_and_a_torn_end_is_not(int damaged, bool isRefused)
    {
        var store = Open(_files);
        for (var number = 0; number < 3; number++)
            await store.WriteAsync($"group/{number}", Json(number), null);
        var path = Path.Combine(Journal, _files.ListFiles(Journal).Single());
        var files = _files.ProcessKill();
        var frame = (Array.FindLastIndex(AtomicFile.TryRead(files, path)!, static one => one != 0) + 1) / 3;
        Flip(files, path, (damaged * frame) + frame - 1);
        if (isRefused)
            Assert.Contains(path, Assert.Throws<CorruptStateException>(() => Open(files)).Message, StringComparison.Ordinal);
        else
            Assert.Equal(["group/0", "group/1"], (await Open(files).ListAsync("group")).Order());
    }

    private static void Flip(MemoryFileSystem files, string path, long position)
    {
        using var file = files.Open(path, FileOpening.ReadWrite);
        var one = new byte[1];
        file.Read(one, position);
        one[0] ^= 1;
        file.Write(one, position);
    }

    [Fact]
    public async Task Full_disk_refuses_changes_until_there_is_room()
    {
        var store = Open(_files);
        var etag = await store.WriteAsync(Key, Json(1), null);
        _files.Capacity = 0;
        var large = Encoding.UTF8.GetBytes($"\"{new string('x', 1 << 20)}\"");
        await Assert.ThrowsAsync<DiskFullException>(async () => await store.WriteAsync("group/other", large, null));
        Assert.Equal(etag, (await store.ReadAsync(Key))!.ETag);
        Assert.Null(await store.ReadAsync("group/other"));
        _files.Capacity = long.MaxValue;
        Assert.Equal("2", await store.WriteAsync(Key, Json(3), etag));
        var after = Open(_files.ProcessKill());
        Assert.Null(await after.ReadAsync("group/other"));
        Assert.Equal("""{"n":3}""", Text(await after.ReadAsync(Key)));
    }

    [Fact]
    public async Task Files_follow_within_the_lag_and_the_journal_is_empty_then()
    {
        await using var store = JournaledStateStore.Open(_files, Journal, FileStateStore.Open(_files, "/data/state"), EngineLog.Silent,
            lag: TimeSpan.FromMilliseconds(1));
        var etag = await store.WriteAsync(Key, Json(1), null);
        await Wait.UntilAsync(() => StateJournal.IsEmpty(_files, Journal), Deadline);
        Assert.True(_files.FileExists(File));
        await store.DeleteAsync(Key, etag);
        await Wait.UntilAsync(() => StateJournal.IsEmpty(_files, Journal), Deadline);
        Assert.False(_files.FileExists(File));
    }

    /// <summary>A start has no journal yet, with zeros that the deletion could take: the versions before go.</summary>
    [Fact]
    public async Task Document_is_deleted_on_a_disk_that_was_full_before_the_start()
    {
        foreach (var number in Enumerable.Range(1, 2))
        {
            await using var store = Open(_files);
            var etag = (await store.ReadAsync(Key))?.ETag;
            await store.WriteAsync(Key, Json(number), etag);
        }
        Assert.True(_files.FileExists(File + ".old"));
        _files.Capacity = 1L << 40;
        _files.Capacity -= _files.GetFreeSpace("/data");
        var full = Open(_files);
        await full.DeleteAsync(Key, (await full.ReadAsync(Key))!.ETag);
        Assert.Null(await full.ReadAsync(Key));
        Assert.Null(await Open(_files.ProcessKill()).ReadAsync(Key));
    }

    /// <summary>What its journals take is enough for many changes, and for a deletion.</summary>
    [Fact]
    public async Task Document_is_deleted_on_a_full_disk()
    {
        var store = Open(_files);
        await store.WriteAsync("group/other", Json(1), null);
        _files.Capacity = _files.GetLength(Path.Combine(Journal, _files.ListFiles(Journal).Single()));
        var etag = "";
        for (var number = 0; number < 20_000; number++)
            etag = await store.WriteAsync(Key, Json(number), number == 0 ? null : etag);
        await store.DeleteAsync("group/other", "1");
        Assert.Null(await store.ReadAsync("group/other"));
        Assert.Equal("20000", etag);
    }

    /// <summary>A change whose flush fails is not there after a restart, and the next one is.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Change_whose_flush_fails_is_not_stored(int flushes)
    {
        var faulty = new FailingFlushes(_files);
        var store = Open(faulty);
        var etag = await store.WriteAsync(Key, Json(1), null);
        faulty.Failures = flushes;
        await Assert.ThrowsAsync<IOException>(async () => await store.WriteAsync(Key, Json(2), etag));
        Assert.Equal(etag, (await store.ReadAsync(Key))!.ETag);
        if (flushes == 1)
        {
            Assert.Equal("2", await store.WriteAsync(Key, Json(3), etag));
        }
        else
        {
            // What of the change is on the disk could not be taken back.
            var refused = await Assert.ThrowsAsync<IOException>(async () => await store.WriteAsync(Key, Json(3), etag));
            Assert.Contains("restart the broker", refused.Message, StringComparison.Ordinal);
        }
        if (flushes == 1)
            Assert.Equal("""{"n":3}""", Text(await Open(_files.ProcessKill()).ReadAsync(Key)));
    }

    private sealed class FailingFlushes(IFileSystem inner) : WrappedFileSystem(inner)
    {
        public int Failures { get; set; }

        public override IFile Open(string path, FileOpening mode) => new Failing(Inner.Open(path, mode), this);

        private sealed class Failing(IFile inner, FailingFlushes owner) : WrappedFile(inner)
        {
            public override void Flush()
            {
                if (Path.EndsWith(StateJournal.Suffix, StringComparison.Ordinal) && owner.Failures-- > 0)
                    throw new IOException("The disk failed.");
                base.Flush();
            }
        }
    }

    [Fact]
    public async Task Changes_of_a_batch_that_fails_fail_all()
    {
        var faulty = new FailingFlushes(_files);
        var store = Open(faulty);
        var etag = await store.WriteAsync(Key, Json(1), null);
        faulty.Failures = 1;
        Task[] deletions = [.. Enumerable.Range(0, 20).Select(_ => store.DeleteAsync(Key, etag).AsTask())];
        await Assert.ThrowsAsync<IOException>(() => Task.WhenAll(deletions));
        // Those of the batches behind the failed one may have deleted it; who was told so is right.
        Assert.Equal(deletions.Any(static deletion => deletion.IsCompletedSuccessfully), await store.ReadAsync(Key) is null);
    }

    /// <summary>A frame that found the last room must not be overwritten with zeros by the next.</summary>
    [Fact]
    public async Task Changes_on_a_full_disk_are_there_after_a_kill()
    {
        using var gate = new ManualResetEventSlim();
        var store = Open(new BlockedDocuments(_files, gate));
        await store.WriteAsync("group/0", Json(0), null);
        _files.Capacity = _files.GetLength(Path.Combine(Journal, _files.ListFiles(Journal).Single())) + 100_000;
        var written = 1;
        // Beyond the first file, while its documents are not written yet.
        for (; written < 1600; written++)
            await store.WriteAsync($"group/{written}", Encoding.UTF8.GetBytes($"\"{new string('x', 100)}\""), null);
        var files = _files.ProcessKill();
        gate.Set();
        files.Capacity = long.MaxValue;
        Assert.Equal(written, (await Open(files).ListAsync("group")).Count);
    }

    /// <summary>What a restart has served must not go with a power cut, though the killed process had not flushed it.</summary>
    [Fact]
    public async Task Change_that_was_read_after_a_kill_survives_a_power_cut()
    {
        for (var seed = 0; seed < 20; seed++)
        {
            var files = Empty();
            var unflushed = new UnflushedJournal(files);
            await Open(unflushed).WriteAsync(Key, Json(1), null);
            var after = files.ProcessKill();
            var reopened = JournaledStateStore.Open(after, Journal, FileStateStore.Open(after, "/data/state"), EngineLog.Silent);
            Assert.NotNull(await reopened.ReadAsync(Key));
            Assert.NotNull(await Open(after.PowerCut(new Random(seed))).ReadAsync(Key));
        }
    }

    [Fact]
    public async Task Damaged_document_is_set_aside_by_the_next_one()
    {
        var first = Open(_files);
        var etag = await first.WriteAsync(Key, Json(1), null);
        await first.DisposeAsync();
        var store = Open(_files);
        await store.WriteAsync(Key, Json(2), etag);
        await store.WriteAsync("group/other", Json(1), null);
        Flip(_files, File, 3);
        await store.DisposeAsync();
        Assert.Empty(_files.ListFiles(Journal));
        var files = FileStateStore.Open(_files, "/data/state");
        Assert.Equal("""{"n":2}""", Text(await files.ReadAsync(Key)));
        Assert.NotNull(await files.ReadAsync("group/other"));
        Assert.Contains(_files.ListFiles("/data/state/group"), static name => name.EndsWith(".damaged", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Missing_journal_is_named_and_a_foreign_file_is_not()
    {
        var faulty = new FailingFlushes(_files);
        var store = Open(faulty);
        for (var number = 0; number < 3; number++)
        {
            await store.WriteAsync($"group/{number}", Json(1), null);
            faulty.Failures = 1;
            await Assert.ThrowsAsync<IOException>(async () => await store.WriteAsync("group/refused", Json(1), null));
        }
        var files = _files.ProcessKill();
        files.Open(Path.Combine(Journal, "x.journal"), FileOpening.OpenOrCreate).Dispose();
        files.Open(Path.Combine(Journal, "7.journal"), FileOpening.OpenOrCreate).Dispose();
        files.DeleteFile(Path.Combine(Journal, files.ListFiles(Journal).Order().ElementAt(1)));
        Assert.Contains("missing", Assert.Throws<CorruptStateException>(() => Open(files)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Text_that_is_not_json_is_refused()
    {
        var store = Open(_files);
        await Assert.ThrowsAnyAsync<System.Text.Json.JsonException>(async () => await store.WriteAsync(Key, "{"u8.ToArray(), null));
        await store.WriteAsync(Key, Json(1), null);
        await store.DisposeAsync();
        Assert.NotNull(await FileStateStore.Open(_files, "/data/state").ReadAsync(Key));
    }

    [Fact]
    public async Task Document_that_cannot_be_written_keeps_back_no_other()
    {
        var store = Open(new UnwritableDocument(_files, "/data/state/group/b.json"));
        foreach (var name in (string[])["group/a", "group/b", "group/c", "topic/d"])
            await store.WriteAsync(name, Json(1), null);
        await store.DisposeAsync();
        Assert.Equal(["a.json", "c.json"], _files.ListFiles("/data/state/group").Order(StringComparer.Ordinal));
        Assert.True(_files.FileExists("/data/state/topic/d.json"));
        Assert.Equal("""{"n":1}""", Text(await Open(_files).ReadAsync("group/b")));
    }

    private sealed class UnwritableDocument(IFileSystem inner, string path) : WrappedFileSystem(inner)
    {
        public override IFile Open(string opened, FileOpening opening) => opened.StartsWith(path, StringComparison.Ordinal)
            && opening == FileOpening.CreateOrTruncate ? throw new UnauthorizedAccessException(path) : Inner.Open(opened, opening);
    }

    // The documents' files wait.
    private sealed class BlockedDocuments(IFileSystem inner, ManualResetEventSlim gate) : WrappedFileSystem(inner)
    {
        public override IFile Open(string path, FileOpening mode)
        {
            if (path.EndsWith(AtomicFile.TemporarySuffix, StringComparison.Ordinal))
                gate.Wait(TimeSpan.FromMinutes(1));
            return Inner.Open(path, mode);
        }
    }

    // Flushes of the journal do nothing, as if the process were killed before them.
    private sealed class UnflushedJournal(IFileSystem inner) : WrappedFileSystem(inner)
    {
        public override IFile Open(string path, FileOpening mode) => new Unflushed(Inner.Open(path, mode));

        private sealed class Unflushed(IFile inner) : WrappedFile(inner)
        {
            public override void Flush()
            {
                if (!Path.EndsWith(StateJournal.Suffix, StringComparison.Ordinal))
                    base.Flush();
            }
        }
    }

    /// <summary>Power cuts at any time: what was acknowledged is there, and what was not is there whole or not at all.</summary>
    [Fact]
    public async Task Acknowledged_changes_survive_every_power_cut()
    {
        const int keys = 6, rounds = 40, runs = 50;
        var seed = Seeds.Next();
        output.WriteLine($"seed {seed}");
        for (var run = 0; run < runs; run++)
        {
            var random = new Random(seed + run);
            var files = Empty();
            var store = Open(files, random.Next(1, 2000));
            var stored = new (string? Value, string? ETag)[keys];
            for (var round = 0; round < rounds; round++)
            {
                var value = $$"""{"n":{{run}},"r":{{round}}}""";
                var wanted = Enumerable.Range(0, keys).Where(_ => random.Next(2) == 0)
                    .ToDictionary(key => key, key => stored[key].ETag is not null && random.Next(4) == 0 ? null : value);
                var changes = wanted.ToDictionary(change => change.Key,
                    change => ChangeAsync(store, $"group/{change.Key}", change.Value, stored[change.Key].ETag));
                switch (random.Next(8))
                {
                    case 0:
                        break;
                    case 1:
                        await Task.WhenAll(changes.Values);
                        await store.DisposeAsync();
                        break;
                    default:
                        foreach (var (key, change) in changes)
                            stored[key] = (wanted[key], await change);
                        continue;
                }
                var after = files.PowerCut(random);
                var acknowledged = changes.Where(static change => change.Value.IsCompletedSuccessfully).Select(static change => change.Key)
                    .ToHashSet();
                await Task.WhenAll(changes.Values).ContinueWith(static _ => { }, TaskScheduler.Default);
                (files, store) = (after, Open(after, random.Next(1, 2000)));
                var listed = await store.ListAsync("group");
                for (var key = 0; key < keys; key++)
                {
                    var document = await store.ReadAsync($"group/{key}");
                    string?[] allowed = !wanted.TryGetValue(key, out var change) ? [stored[key].Value]
                        : acknowledged.Contains(key) ? [change] : [stored[key].Value, change];
                    Assert.True(allowed.Contains(Text(document)),
                        $"seed {seed + run}: {key} is {Text(document) ?? "absent"}, not {string.Join(" or ", allowed)}");
                    Assert.Equal(document is not null, listed.Contains($"group/{key}"));
                    stored[key] = (Text(document), document?.ETag);
                }
            }
            await store.DisposeAsync();
        }

        static async Task<string?> ChangeAsync(JournaledStateStore store, string key, string? value, string? etag)
        {
            if (value is not null)
                return await store.WriteAsync(key, Encoding.UTF8.GetBytes(value), etag);
            await store.DeleteAsync(key, etag);
            return null;
        }
    }
}
