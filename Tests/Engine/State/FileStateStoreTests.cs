using System.Text;
using OrleansMq.State;
using OrleansMq.Storage;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.State;

public sealed class FileStateStoreOnDiskTests : StateStoreConformance, IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("omq-state-").FullName;

    private protected override ValueTask<IStateStore> StoreAsync() =>
        new(FileStateStore.Open(DiskFileSystem.Instance, Path.Combine(_root, "state")));

    public void Dispose() => Directory.Delete(_root, recursive: true);
}

public sealed class FileStateStoreTests : StateStoreConformance
{
    private const string Key = "topic/orders";
    private const string File = "/data/state/topic/orders.json";

    private readonly MemoryFileSystem _files = Empty();

    private static MemoryFileSystem Empty()
    {
        var files = new MemoryFileSystem();
        files.CreateDirectory("/data");
        files.FlushDirectory("/");
        return files;
    }

    private static FileStateStore Open(IFileSystem files) => FileStateStore.Open(files, "/data/state");

    private protected override ValueTask<IStateStore> StoreAsync() => new(Open(_files));

    private static byte[] Json(int number) => Encoding.UTF8.GetBytes($$"""{"n":{{number}}}""");

    private void Overwrite(string content)
    {
        using var file = _files.Open(File, FileOpening.CreateOrTruncate);
        file.Write(Encoding.UTF8.GetBytes(content), 0);
    }

    [Fact]
    public async Task File_is_an_envelope_with_version_name_and_value()
    {
        var store = Open(_files);
        var etag = await store.WriteAsync(Key, Json(1), null);
        await store.WriteAsync(Key, Json(2), etag);
        Assert.Equal("""{"version":2,"name":"orders","crc":"c33af6c4","value":{"n":2}}""", Read(File));
        Assert.Equal("""{"version":1,"name":"orders","crc":"0bd4a197","value":{"n":1}}""", Read(File + ".old"));
    }

    private string Read(string path) => Encoding.UTF8.GetString(AtomicFile.TryRead(_files, path)!);

    [Fact]
    public async Task Changed_byte_of_a_document_is_refused_and_the_version_before_named()
    {
        var store = Open(_files);
        await store.WriteAsync(Key, Json(2), await store.WriteAsync(Key, Json(1), null));
        Overwrite(Read(File).Replace("\"n\":2", "\"n\":3", StringComparison.Ordinal));
        var refused = await Assert.ThrowsAsync<CorruptStateException>(async () => await store.ReadAsync(Key));
        Assert.Equal(File + ".old", refused.Previous);
        Assert.Contains("checksum", refused.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<CorruptStateException>(async () => await store.WriteAsync(Key, Json(4), "2"));
        _files.MoveFile(File + ".old", File);
        Assert.Equal(Json(1), (await Open(_files).ReadAsync(Key))!.Value.ToArray());
    }

    [Fact]
    public async Task Document_without_a_checksum_is_accepted_and_gets_one()
    {
        var store = Open(_files);
        var etag = await store.WriteAsync(Key, Json(1), null);
        Overwrite("""{"version":1,"name":"orders","value":{"n":7}}""");
        Assert.Equal(Json(7), (await store.ReadAsync(Key))!.Value.ToArray());
        await store.WriteAsync(Key, Json(8), etag);
        Assert.Contains("\"crc\"", Read(File), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Version_before_is_neither_listed_nor_left_by_a_deletion()
    {
        var store = Open(_files);
        var etag = await store.WriteAsync(Key, Json(2), await store.WriteAsync(Key, Json(1), null));
        Assert.Equal([Key], await store.ListAsync("topic"));
        await store.DeleteAsync(Key, etag);
        Assert.Empty(_files.ListFiles("/data/state/topic"));
    }

    [Fact]
    public async Task Reopened_store_continues_from_its_documents()
    {
        var etag = await Open(_files).WriteAsync(Key, Json(1), null);
        var store = Open(_files.ProcessKill());
        Assert.Equal(etag, (await store.ReadAsync(Key))!.ETag);
        await store.WriteAsync(Key, Json(2), etag);
    }

    [Fact]
    public async Task Leftovers_of_a_crash_are_neither_listed_nor_kept()
    {
        await Open(_files).WriteAsync(Key, Json(1), null);
        _files.Open(File + AtomicFile.TemporarySuffix, FileOpening.OpenOrCreate).Dispose();
        var store = Open(_files);
        Assert.Equal([Key], await store.ListAsync("topic"));
        Assert.Equal(["orders.json"], _files.ListFiles("/data/state/topic"));
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("\0\0\0\0")]
    [InlineData("""{"version":"1","name":"orders","value":{}}""")]
    [InlineData("""{"version":0,"name":"orders","value":{}}""")]
    [InlineData("""{"version":1,"value":{}}""")]
    [InlineData("""{"version":1,"name":"orders"}""")]
    [InlineData("""{"version":1,"name":"orders","value":{}} {}""")]
    [InlineData("""{"version":1,"name":"orders","value":{""")]
    public async Task Damaged_file_is_named(string content)
    {
        var store = Open(_files);
        await store.WriteAsync(Key, Json(1), null);
        Overwrite(content);
        var error = await Assert.ThrowsAsync<CorruptStateException>(async () => await store.ReadAsync(Key));
        Assert.Equal(File, error.Path);
        Assert.Contains(File, error.Message);
        await Assert.ThrowsAsync<CorruptStateException>(async () => await store.WriteAsync(Key, Json(2), "1"));
        await Assert.ThrowsAsync<CorruptStateException>(async () => await store.DeleteAsync(Key, "1"));
    }

    [Fact]
    public async Task Members_of_a_later_version_are_ignored()
    {
        var store = Open(_files);
        await store.WriteAsync(Key, Json(1), null);
        Overwrite("""{ "later": {"x":[1]}, "value" : {"n": 5 } , "name":"orders", "version":9}""");
        var read = await store.ReadAsync(Key);
        Assert.Equal(("""{"n": 5 }""", "9"), (Encoding.UTF8.GetString(read!.Value.Span), read.ETag));
    }

    [Theory]
    [InlineData("topic")]
    [InlineData("topic/")]
    [InlineData("/orders")]
    public async Task Key_without_type_or_name_is_refused(string key) =>
        await Assert.ThrowsAsync<ArgumentException>(async () => await Open(_files).ReadAsync(key));

    [Fact]
    public async Task Written_document_survives_every_power_cut()
    {
        for (var seed = 0; seed < 200; seed++)
        {
            var files = Empty();
            var store = Open(files);
            var etag = await store.WriteAsync(Key, Json(1), null);
            await store.WriteAsync(Key, Json(2), etag);
            var deleted = await store.WriteAsync("topic/gone", Json(1), null);
            await store.DeleteAsync("topic/gone", deleted);
            var after = Open(files.PowerCut(new Random(seed)));
            Assert.Equal("""{"n":2}""", Encoding.UTF8.GetString((await after.ReadAsync(Key))!.Value.Span));
            Assert.Equal([Key], await after.ListAsync("topic"));
        }
    }

    [Fact]
    public async Task Full_disk_leaves_the_old_document()
    {
        var store = Open(_files);
        var etag = await store.WriteAsync(Key, Json(1), null);
        _files.Capacity = _files.GetLength(File) + 10;
        await Assert.ThrowsAsync<DiskFullException>(async () => await store.WriteAsync(Key, Json(2), etag));
        Assert.Equal(etag, (await store.ReadAsync(Key))!.ETag);
        _files.Capacity = long.MaxValue;
        await Open(_files).WriteAsync(Key, Json(2), etag);
    }

    /// <summary>The version before gives its room: else nothing could be deleted on a full disk.</summary>
    [Fact]
    public async Task Document_is_replaced_on_a_full_disk()
    {
        var store = Open(_files);
        var etag = await store.WriteAsync(Key, Json(1), null);
        etag = await store.WriteAsync(Key, Json(2), etag);
        _files.Capacity = 2 * _files.GetLength(File);
        etag = await store.WriteAsync(Key, Json(3), etag);
        Assert.Equal("""{"n":3}""", Encoding.UTF8.GetString((await store.ReadAsync(Key))!.Value.Span));
        Assert.Equal([Path.GetFileName(File)], _files.ListFiles(Path.GetDirectoryName(File)!));
        _files.Capacity = long.MaxValue;
        await store.WriteAsync(Key, Json(4), etag);
        Assert.Equal(2, _files.ListFiles(Path.GetDirectoryName(File)!).Count);
    }

    [Fact]
    public async Task Names_that_differ_only_in_case_have_distinct_files()
    {
        var store = Open(_files);
        foreach (var name in new[] { "a", "A", new string('b', 249), new string('B', 249) })
            await store.WriteAsync("topic/" + name, Json(1), null);
        var files = _files.ListFiles("/data/state/topic");
        Assert.Equal(4, files.Distinct(StringComparer.OrdinalIgnoreCase).Count());
        Assert.All(files, file => Assert.InRange(file.Length + AtomicFile.TemporarySuffix.Length, 1, 255));
    }
}
