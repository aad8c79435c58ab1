using OrleansMq.Client;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.EndToEnd;

/// <summary>What dead letters say of themselves, by topic and one by one.</summary>
public sealed class DeadLetterAdminTests : IAsyncLifetime
{
    private const string Letters = "orders.dead-letter";
    private TestBroker _broker = null!;

    private IAdmin Admin => _broker.Client.Admin;

    public async Task InitializeAsync()
    {
        _broker = await TestBroker.StartAsync();
        await Admin.CreateTopicAsync("orders", 1);
        await Admin.CreateTopicAsync("empty.dead-letter", 1);
        await Admin.CreateTopicAsync(Letters, 2);
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public async Task Dead_letters_are_counted_by_source_and_group_with_their_causes()
    {
        await SendAsync(0, Letter("billing", 0, exception: "System.TimeoutException"),
            Letter("billing", 1, exception: "System.FormatException"));
        await SendAsync(1, Letter("billing", 2, exception: "System.TimeoutException"), Letter("mail", 2, reason: "no address"), []);

        var topic = Assert.Single(await Admin.DeadLetters.ListAsync());

        Assert.Equal((Letters, 5L, 5L, true, 1L), (topic.Topic, topic.Held, topic.Read, topic.IsComplete, topic.WithoutSource));
        Assert.Equal([("billing", 3L, 0L), ("mail", 1L, 0L)],
            topic.Sources.Select(static source => (source.GroupId, source.Letters, source.Redriven!.Value)));
        Assert.Equal([new("System.TimeoutException", 2), new("System.FormatException", 1)], topic.Sources[0].Causes);
        Assert.InRange(topic.Sources[0].NewestTimestamp, topic.Sources[0].OldestTimestamp, long.MaxValue);
    }

    [Fact]
    public async Task Redriven_dead_letters_are_marked()
    {
        await SendAsync(0, Letter("billing", 0, exception: "E"));
        await Admin.RedriveAsync(Letters).SoonAsync();
        await SendAsync(0, Letter("billing", 1, exception: "E"));

        Assert.Equal((2L, 1L), (await Admin.DeadLetters.DescribeAsync(Letters)).Sources.Select(
            static source => (source.Letters, source.Redriven!.Value)).Single());
        Assert.Equal([true, false], (await Admin.DeadLetters.ReadAsync(Letters)).Letters.Select(static letter => letter.IsRedriven!.Value));
    }

    [Fact]
    public async Task Bounded_read_takes_the_newest_of_each_partition_and_says_so()
    {
        await SendAsync(0, [.. Enumerable.Range(0, 30).Select(offset => Letter("billing", offset, exception: "E"))]);
        await SendAsync(1, Letter("billing", 90, exception: "E"));

        var topic = await Admin.DeadLetters.DescribeAsync(Letters, maxRead: 10);
        var page = await Admin.DeadLetters.ReadAsync(Letters, new DeadLetterQuery { MaxRead = 10, MaxLetters = 3 });

        Assert.Equal((31L, 10L, false), (topic.Held, topic.Read, topic.IsComplete));
        Assert.Equal((31L, 10L, false, 10L), (page.Held, page.Read, page.IsComplete, page.Selected));
        Assert.Equal([28, 29, 90], page.Letters.Select(static letter => letter.SourceOffset));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => Admin.DeadLetters.ListAsync(0));
    }

    [Fact]
    public async Task Dead_letter_says_where_it_came_from_and_why()
    {
        await SendAsync(1, Letter("mail", 7, reason: "no address"), Letter("billing", 8, exception: "E"));

        var letter = Assert.Single((await Admin.DeadLetters.ReadAsync(Letters, new DeadLetterQuery { GroupId = "mail" })).Letters);

        Assert.Equal((1, 0L, "orders", 0, 7L, 5L), (letter.Partition, letter.Offset, letter.SourceTopic, letter.SourcePartition,
            letter.SourceOffset, letter.SourceTimestamp!.Value));
        Assert.Equal((3, "no address", null), (letter.Attempts!.Value, letter.Reason, letter.ExceptionType));
        Assert.Empty((await Admin.DeadLetters.ReadAsync(Letters, new DeadLetterQuery { SourceTopic = "invoices" })).Letters);
        var refused = await Assert.ThrowsAsync<BrokerException>(() => Admin.DeadLetters.ReadAsync("none.dead-letter"));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, refused.Code);
    }

    [Theory]
    [InlineData(100, "3 7 50", "3 7 50")]
    [InlineData(10, "3 7 50", "3 4 3")]
    [InlineData(2, "5 5 5", "1 1 0")]
    [InlineData(1, "0 9", "0 1")]
    public void Bound_is_shared_evenly_and_what_one_leaves_goes_to_the_others(long maxRead, string held, string read)
    {
        var extents = held.Split(' ').Select(static (count, number) =>
            new LetterScan.Extent(new TopicPartition("t", number), 100, 100, 100 + long.Parse(count)));
        var shared = LetterScan.Share(extents, maxRead).OrderBy(static extent => extent.Partition.Partition).ToList();
        Assert.Equal(read, string.Join(' ', shared.Select(static extent => extent.End - extent.Start)));
    }

    private static RecordHeader[] Letter(string group, long offset, string? exception = null, string? reason = null) =>
    [
        RecordHeaders.Text(DeadLetterHeaders.Topic, "orders"), RecordHeaders.Text(DeadLetterHeaders.Partition, "0"),
        RecordHeaders.Text(DeadLetterHeaders.Offset, $"{offset}"), RecordHeaders.Text(DeadLetterHeaders.Timestamp, "5"),
        RecordHeaders.Text(DeadLetterHeaders.Group, group), RecordHeaders.Text(DeadLetterHeaders.Attempts, "3"),
        reason is null ? RecordHeaders.Text(DeadLetterHeaders.ExceptionType, exception)
            : RecordHeaders.Text(DeadLetterHeaders.Reason, reason),
    ];

    private async Task SendAsync(int partition, params RecordHeader[][] letters)
    {
        await using var producer = _broker.Client.CreateProducer<string, string>();
        foreach (var headers in letters)
        {
            await producer.SendAsync(new(Letters, "k", "v") { Partition = partition, Headers = headers });
            // Ordered by time.
            await Task.Delay(2);
        }
    }
}
