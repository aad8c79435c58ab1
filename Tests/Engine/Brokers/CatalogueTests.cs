using System.Text.Json;
using OrleansMq.Brokers;
using OrleansMq.State;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Brokers;

/// <summary>The pages of the list of topics, and the division of the one document that earlier versions wrote.</summary>
public sealed class CatalogueTests
{
    private const int Topics = 200;
    private static readonly Guid Gone = Guid.CreateVersion7();
    private static readonly TopicCatalogue Before = Enumerable.Range(0, Topics)
        .Aggregate(TopicCatalogue.Empty.AddLeftovers(Gone, [1, 2]), (all, number) => all.FinishCreate(NameOf(number), IdOf(number)));

    private static string NameOf(int number) => $"topic-{number}";

    private static Guid IdOf(int number) => new(number + 1, 0, 0, new byte[8]);

    [Theory]
    [InlineData("orders", 44)]
    [InlineData("a.b", 49)]
    [InlineData("a_b", 49)]
    [InlineData("", 5)]
    public void Page_of_a_name_never_changes(string topic, int page) => Assert.Equal(page, TopicCatalogue.PageOf(topic));

    [Fact]
    public void Topics_spread_over_all_pages() =>
        Assert.Equal(TopicCatalogue.Pages,
            Enumerable.Range(0, 1000).Select(number => TopicCatalogue.PageOf(NameOf(number))).Distinct().Count());

    [Fact]
    public async Task Change_of_a_topic_writes_its_page_alone()
    {
        var files = Empty();
        var catalogue = Open(files);
        for (var number = 0; number < Topics; number++)
            await catalogue.ChangeAsync(NameOf(number), page => page.FinishCreate(NameOf(number), IdOf(number)));
        var before = files.Traffic.Values.Sum(file => file.Flushes);
        await catalogue.ChangeAsync("orders", page => page.FinishCreate("orders", Gone));
        Assert.Equal(1, files.Traffic.Values.Sum(file => file.Flushes) - before);
        Assert.Equal(Topics + 1, (await Open(files).ReadAllAsync()).Sum(page => page.Topics.Count));
    }

    [Fact]
    public async Task Changes_of_a_page_take_turns()
    {
        var catalogue = Open(Empty());
        await Task.WhenAll(Enumerable.Range(0, Topics).Select(number => Task.Run(() =>
            catalogue.ChangeAsync(0, page => page.FinishCreate(NameOf(number), IdOf(number))))));
        Assert.Equal(Topics, (await catalogue.ReadAllAsync())[0].Topics.Count);
    }

    [Fact]
    public async Task Document_of_an_earlier_version_is_divided_whenever_the_process_dies()
    {
        for (var changes = 0; ; changes++)
        {
            var files = Empty();
            await StoreWholeAsync(files, Before);
            var dying = new KillSwitch(files);
            dying.Arm(changes);
            try
            {
                await Open(dying).OpenAsync(isShared: false);
            }
            catch (Exception) when (dying.Left is not null)
            {
                // The process died.
            }
            var left = dying.Left ?? files;
            await CheckAsync(left, Before);
            if (dying.Left is null)
                return;
        }
    }

    [Fact]
    public async Task Earlier_version_that_ran_once_more_is_believed()
    {
        var files = Empty();
        await StoreWholeAsync(files, Before);
        await Open(files).OpenAsync(isShared: false);
        // It found no document of its own, and made one of the topics; one was deleted, one created.
        var later = Before.Forget(NameOf(3), IdOf(3)).FinishCreate("orders", Gone);
        await StoreWholeAsync(files, later);
        await CheckAsync(files, later);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Earlier_version_beside_this_one_reads_no_empty_list(bool isDivided)
    {
        var files = Empty();
        if (isDivided)
            await StoreWholeAsync(files, Before);
        await Open(files).OpenAsync(isShared: true);
        var earlier = new StoredDocument<TopicCatalogue>(FileStateStore.Open(files, "/data/state"), WholeCatalogue.Key,
            TopicJson.Default.TopicCatalogue);
        await Assert.ThrowsAsync<CorruptStateException>(async () => await earlier.ReadAsync());
        Check(isDivided ? Before : TopicCatalogue.Empty, await Open(files).OpenAsync(isShared: true));
    }

    [Fact]
    public async Task Earlier_version_that_writes_while_the_list_is_divided_loses_nothing()
    {
        var files = Empty();
        await StoreWholeAsync(files, Before);
        var earlier = new StoredDocument<TopicCatalogue>(FileStateStore.Open(files, "/data/state"), WholeCatalogue.Key,
            TopicJson.Default.TopicCatalogue);
        var later = (await earlier.ReadAsync())!.Forget(NameOf(3), IdOf(3)).FinishCreate("orders", Gone);
        // After the whole document and all pages are read.
        var slow = Open(FileStateStore.Open(files, "/data/state"), Once(TopicCatalogue.Pages + 1, () => earlier.WriteAsync(later)));
        await Assert.ThrowsAsync<StateConflictException>(() => slow.OpenAsync(isShared: true));
        Check(later, await Open(files).OpenAsync(isShared: true));
        await Assert.ThrowsAsync<StateConflictException>(() => earlier.WriteAsync(Before));
        Check(later, await Open(files).OpenAsync(isShared: true));
    }

    [Fact]
    public async Task Slow_division_undoes_no_change_that_another_has_made_since()
    {
        var overtaken = 0;
        for (var step = 0; ; step += 5)
        {
            var files = Empty();
            await StoreWholeAsync(files, Before);
            var later = Before.Forget(NameOf(3), IdOf(3)).FinishCreate("orders", Gone);
            var wasOvertaken = false;
            var store = FileStateStore.Open(files, "/data/state");
            var slow = Open(store, Once(step, async () =>
            {
                wasOvertaken = true;
                var fast = await OpenInTheEndAsync(store);
                await fast.ChangeAsync(NameOf(3), page => page.Forget(NameOf(3), IdOf(3)));
                await fast.ChangeAsync("orders", page => page.FinishCreate("orders", Gone));
            }));
            try
            {
                var pages = await slow.OpenAsync(isShared: true);
                Check(wasOvertaken ? later : Before, pages);
            }
            catch (StateConflictException) when (wasOvertaken)
            {
                overtaken++;
            }
            Check(wasOvertaken ? later : Before, await Open(files).OpenAsync(isShared: true));
            if (!wasOvertaken)
                break;
        }
        Assert.True(overtaken > 20, $"{overtaken}");
    }

    [Fact]
    public async Task Claim_sees_what_the_earlier_controller_stored_and_lets_it_store_no_more()
    {
        var refused = 0;
        for (var step = 0; ; step++)
        {
            var store = FileStateStore.Open(Empty(), "/data/state");
            var earlier = await ClaimedAsync(Open(store, () => Task.CompletedTask), 6);
            var created = new List<string>();
            var wasOvertaken = false;
            // The claim reads and writes each page in its turn; the earlier controller creates topics at any moment of it.
            var later = Open(store, Once(step, async () =>
            {
                wasOvertaken = true;
                for (var number = 0; number < 8; number++)
                    await TryCreateAsync(earlier, NameOf(number), created);
            }));
            await later.OpenAsync(isShared: true);
            var pages = await later.ClaimAsync(7);
            if (!wasOvertaken)
                break;
            refused += 8 - created.Count;
            Assert.Equal(created.Order(StringComparer.Ordinal),
                pages.SelectMany(page => page.Topics.Keys).Order(StringComparer.Ordinal));
            // The first write may meet the claim; after it the page is known to be another's.
            for (var tries = 0; tries < 2; tries++)
                Assert.False(await TryCreateAsync(earlier, "orders", created));
            await later.ChangeAsync("orders", page => page.FinishCreate("orders", Gone));
            Assert.Equal(ErrorCode.LeaderNotAvailable, (await Assert.ThrowsAsync<BrokerException>(
                () => earlier.ChangeAsync("orders", page => page.Forget("orders", Gone)))).Code);
        }
        Assert.True(refused > 0, "the claim was never in the way");
    }

    private static async Task<Catalogue> ClaimedAsync(Catalogue catalogue, int epoch)
    {
        await catalogue.OpenAsync(isShared: true);
        await catalogue.ClaimAsync(epoch);
        return catalogue;
    }

    private static async Task<bool> TryCreateAsync(Catalogue catalogue, string topic, List<string> created)
    {
        try
        {
            await catalogue.ChangeAsync(topic, page => page.FinishCreate(topic, Gone));
            created.Add(topic);
            return true;
        }
        catch (BrokerException refused) when (refused.Code == ErrorCode.LeaderNotAvailable)
        {
            return false;
        }
    }

    private static async Task CheckAsync(IFileSystem files, TopicCatalogue expected)
    {
        Check(expected, await Open(files).OpenAsync(isShared: false));
        Assert.Null(await FileStateStore.Open(files, "/data/state").ReadAsync(WholeCatalogue.Key));
    }

    private static void Check(TopicCatalogue expected, IReadOnlyList<TopicCatalogue> pages)
    {
        Assert.Equal(expected.Topics.ToArray(),
            pages.SelectMany(page => page.Topics).OrderBy(topic => topic.Key, StringComparer.Ordinal).ToArray());
        Assert.All(pages.SelectMany((page, number) => page.Topics.Keys.Select(name => (name, number))),
            topic => Assert.Equal(TopicCatalogue.PageOf(topic.name), topic.number));
        if (expected.Leftovers is null)
            Assert.All(pages, page => Assert.Null(page.Leftovers));
        else
            Assert.Equal([1, 2], Assert.Single(pages, page => page.Leftovers is not null).Leftovers![Gone].ToArray());
    }

    private static async Task StoreWholeAsync(IFileSystem files, TopicCatalogue whole) =>
        await FileStateStore.Open(files, "/data/state")
            .WriteAsync(WholeCatalogue.Key, JsonSerializer.SerializeToUtf8Bytes(whole, TopicJson.Default.TopicCatalogue), null);

    private static MemoryFileSystem Empty()
    {
        var files = new MemoryFileSystem();
        files.CreateDirectory("/data");
        files.FlushDirectory("/");
        return files;
    }

    private static Catalogue Open(IFileSystem files) => Open(FileStateStore.Open(files, "/data/state"), () => Task.CompletedTask);

    private static async Task<Catalogue> OpenInTheEndAsync(FileStateStore store)
    {
        while (true)
        {
            try
            {
                var catalogue = Open(store, () => Task.CompletedTask);
                await catalogue.OpenAsync(isShared: true);
                return catalogue;
            }
            catch (StateConflictException)
            {
                // As the activation of a grain, it is tried again.
            }
        }
    }

    private static Catalogue Open(FileStateStore store, Func<Task> before) => new(
        name => new Watched<TopicCatalogue>(
            new StoredDocument<TopicCatalogue>(store, $"{TopicCatalogue.StoreType}/{name}", TopicJson.Default.TopicCatalogue), before),
        new Watched<WholeCatalogue>(
            new StoredDocument<WholeCatalogue>(store, WholeCatalogue.Key, TopicJson.Default.WholeCatalogue), before));

    // Does something before the use of a document of that number.
    private static Func<Task> Once(int number, Func<Task> act)
    {
        var uses = -1;
        return () => Interlocked.Increment(ref uses) == number ? act() : Task.CompletedTask;
    }

    private sealed class Watched<T>(IDocument<T> document, Func<Task> before) : IDocument<T> where T : class
    {
        public async ValueTask<T?> ReadAsync()
        {
            await before();
            return await document.ReadAsync();
        }

        public async Task WriteAsync(T next)
        {
            await before();
            await document.WriteAsync(next);
        }

        public async Task DeleteAsync()
        {
            await before();
            await document.DeleteAsync();
        }
    }
}
