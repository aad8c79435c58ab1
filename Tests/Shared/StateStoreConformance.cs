using System.Text;
using OrleansMq.State;

namespace OrleansMq.Tests.Shared;

/// <summary>The contract of <see cref="IStateStore"/>; one subclass for each implementation.</summary>
public abstract class StateStoreConformance
{
    /// <summary>The store under test; it may hold other documents.</summary>
    private protected abstract ValueTask<IStateStore> StoreAsync();

    private static readonly string Unique = Guid.NewGuid().ToString("N")[..8];

    // A store may survive a test, so each test uses its own types.
    private static string Type(string test) => $"test-{test}-{Unique}";

    private static byte[] Json(string text) => Encoding.UTF8.GetBytes(text);

    private static string Text(StateDocument? document) => Encoding.UTF8.GetString(document!.Value.Span);

    [SkippableFact]
    public async Task Document_is_written_read_changed_and_deleted()
    {
        var store = await StoreAsync();
        var key = Type("life") + "/orders";
        Assert.Null(await store.ReadAsync(key));
        var first = await store.WriteAsync(key, Json("""{"a":1}"""), null);
        var read = await store.ReadAsync(key);
        Assert.Equal("""{"a":1}""", Text(read));
        Assert.Equal(first, read!.ETag);
        var second = await store.WriteAsync(key, Json("""{"a":2,"b":[1,2,{"c":"ä\n"}]}"""), first);
        Assert.NotEqual(first, second);
        read = await store.ReadAsync(key);
        Assert.Equal("""{"a":2,"b":[1,2,{"c":"ä\n"}]}""", Text(read));
        Assert.Equal(second, read!.ETag);
        await store.DeleteAsync(key, second);
        Assert.Null(await store.ReadAsync(key));
        await store.DeleteAsync(key, second);
        await store.DeleteAsync(key, null);
    }

    [SkippableFact]
    public async Task Write_with_another_etag_is_refused_and_changes_nothing()
    {
        var store = await StoreAsync();
        var key = Type("cas") + "/orders";
        await Assert.ThrowsAsync<StateConflictException>(async () => await store.WriteAsync(key, Json("1"), "7"));
        Assert.Null(await store.ReadAsync(key));
        var first = await store.WriteAsync(key, Json("1"), null);
        var second = await store.WriteAsync(key, Json("2"), first);
        await Assert.ThrowsAsync<StateConflictException>(async () => await store.WriteAsync(key, Json("3"), first));
        await Assert.ThrowsAsync<StateConflictException>(async () => await store.WriteAsync(key, Json("3"), null));
        await Assert.ThrowsAsync<StateConflictException>(async () => await store.DeleteAsync(key, first));
        var read = await store.ReadAsync(key);
        Assert.Equal(("2", second), (Text(read), read!.ETag));
    }

    [SkippableFact]
    public async Task Etag_from_before_a_delete_does_not_match_the_recreated_document()
    {
        var store = await StoreAsync();
        var key = Type("aba") + "/orders";
        var before = await store.WriteAsync(key, Json("1"), null);
        await store.DeleteAsync(key, before);
        await store.WriteAsync(key, Json("2"), null);
        await Assert.ThrowsAsync<StateConflictException>(async () => await store.WriteAsync(key, Json("3"), before));
    }

    [SkippableFact]
    public async Task Concurrent_writers_have_one_winner_each_round()
    {
        const int writers = 8, rounds = 20;
        var store = await StoreAsync();
        var key = Type("race") + "/counter";
        string? etag = null;
        for (var round = 0; round < rounds; round++)
        {
            var expected = etag;
            var start = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            var attempts = Enumerable.Range(0, writers).Select(async writer =>
            {
                await start.Task;
                try
                {
                    return (Writer: writer, ETag: await store.WriteAsync(key, Json($"{writer}"), expected));
                }
                catch (StateConflictException)
                {
                    return (Writer: writer, ETag: null!);
                }
            }).ToArray();
            start.SetResult();
            var winner = Assert.Single(await Task.WhenAll(attempts), attempt => attempt.ETag is not null);
            var read = await store.ReadAsync(key);
            Assert.Equal(($"{winner.Writer}", winner.ETag), (Text(read), read!.ETag));
            etag = winner.ETag;
        }
    }

    [SkippableFact]
    public async Task Keys_of_a_type_are_listed_for_any_name()
    {
        var store = await StoreAsync();
        var type = Type("list");
        string[] names =
        [
            "a", "A", "orders.v1", "orders_v1", "with/slash", "späß %41 ~ \"quoted\"", ".", "..", "..hidden", "con",
            new string('x', 249), new string('X', 249), new string('X', 248) + "Y",
        ];
        Assert.Empty(await store.ListAsync(type));
        foreach (var name in names)
            await store.WriteAsync($"{type}/{name}", Json($"{name.Length}"), null);
        await store.WriteAsync(Type("other") + "/a", Json("0"), (await store.ReadAsync(Type("other") + "/a"))?.ETag);
        Assert.Equal(names.Select(name => $"{type}/{name}").Order(StringComparer.Ordinal),
            (await store.ListAsync(type)).Order(StringComparer.Ordinal));
        foreach (var name in names)
            Assert.Equal($"{name.Length}", Text(await store.ReadAsync($"{type}/{name}")));
        foreach (var name in names)
            await store.DeleteAsync($"{type}/{name}", (await store.ReadAsync($"{type}/{name}"))!.ETag);
        Assert.Empty(await store.ListAsync(type));
    }
}
