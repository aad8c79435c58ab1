using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.State;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Brokers;

/// <summary>The pages of the list of topics, and the division of the one document that earlier versions wrote.</summary>
public sealed class CatalogueTests
{
    private const int Topics = 200;
    private const string Whole = $"{TopicCatalogue.StoreType}/{TopicCatalogue.WholeName}";

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
                await Open(dying).OpenAsync();
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
        await Open(files).OpenAsync();
        // It found no document of its own, and made one of the topics; one was deleted, one created.
        var later = Before.Forget(NameOf(3), IdOf(3)).FinishCreate("orders", Gone);
        await StoreWholeAsync(files, later);
        await CheckAsync(files, later);
    }

    private static async Task CheckAsync(IFileSystem files, TopicCatalogue expected)
    {
        var pages = await Open(files).OpenAsync();
        Assert.Equal(expected.Topics.ToArray(),
            pages.SelectMany(page => page.Topics).OrderBy(topic => topic.Key, StringComparer.Ordinal).ToArray());
        Assert.All(pages.SelectMany((page, number) => page.Topics.Keys.Select(name => (name, number))),
            topic => Assert.Equal(TopicCatalogue.PageOf(topic.name), topic.number));
        Assert.Equal([1, 2], Assert.Single(pages, page => page.Leftovers is not null).Leftovers![Gone].ToArray());
        Assert.Null(await FileStateStore.Open(files, "/data/state").ReadAsync(Whole));
    }

    private static async Task StoreWholeAsync(IFileSystem files, TopicCatalogue whole) =>
        await FileStateStore.Open(files, "/data/state")
            .WriteAsync(Whole, JsonSerializer.SerializeToUtf8Bytes(whole, TopicJson.Default.TopicCatalogue), null);

    private static MemoryFileSystem Empty()
    {
        var files = new MemoryFileSystem();
        files.CreateDirectory("/data");
        files.FlushDirectory("/");
        return files;
    }

    private static Catalogue Open(IFileSystem files)
    {
        var store = FileStateStore.Open(files, "/data/state");
        return new Catalogue(name =>
            new StoredDocument<TopicCatalogue>(store, $"{TopicCatalogue.StoreType}/{name}", TopicJson.Default.TopicCatalogue));
    }
}
