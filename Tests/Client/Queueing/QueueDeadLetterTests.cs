using OrleansMq.Client;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.Queueing;

/// <summary>A queue's dead letters as operators see them: the same as those of consumer groups.</summary>
public sealed class QueueDeadLetterTests : IAsyncLifetime
{
    private const string Letters = "jobs.dead-letter";
    private TestBroker _broker = null!;

    private IAdmin Admin => _broker.Client.Admin;

    public async Task InitializeAsync()
    {
        _broker = await TestBroker.StartAsync();
        await Admin.CreateTopicAsync("jobs", 1);
        await Admin.CreateTopicAsync(Letters, 1);
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public async Task Dead_letter_is_listed_with_its_reason_and_sent_back_to_the_queue()
    {
        await using (var producer = _broker.Client.CreateProducer<string, string>())
            await producer.SendAsync(new("jobs", "key", "value"));
        await using var consumer = _broker.Client.CreateQueueConsumer<string, string>(new QueueConsumerOptions
        {
            Topic = "jobs",
            Queue = "work",
            Create = new QueueOptions { DeadLetterTopic = Letters },
        });
        var message = await consumer.ReceiveAsync().AsTask().SoonAsync();
        var offset = message.Offset;
        await message.DeadLetterAsync("no such customer").SoonAsync();

        var page = await LettersAsync(1);
        var letter = Assert.Single(page.Letters);
        Assert.Equal(("jobs", 0, offset, "work", 1, "no such customer", 0, false), (letter.SourceTopic, letter.SourcePartition,
            letter.SourceOffset, letter.GroupId, letter.Attempts, letter.Reason, letter.Redrives, letter.IsRedriven));
        Assert.Equal(1, (await Admin.RedriveAsync(Letters).SoonAsync()).Redriven);
        message = await consumer.ReceiveAsync().AsTask().SoonAsync();
        Assert.Equal(("key", "value", DeadLetterHeaders.Redrives),
            (message.Key, message.Value, Assert.Single(message.Headers).Name()));
        // It fails again: its dead letter says how often it was sent back.
        await message.DeadLetterAsync("still none").SoonAsync();
        page = await LettersAsync(2);
        Assert.Equal(("still none", 1), (page.Letters[1].Reason, page.Letters[1].Redrives));
    }

    private async Task<DeadLetterPage> LettersAsync(int count)
    {
        using var patience = new CancellationTokenSource(Wait.Deadline);
        while (true)
        {
            var page = await Admin.DeadLetters.ReadAsync(Letters, cancellationToken: patience.Token);
            if (page.Letters.Count >= count)
                return page;
            await Task.Delay(20, patience.Token);
        }
    }
}
