using System.Text;
using OrleansMq.VirtualHosts;
using RabbitMQ.Client.Exceptions;

namespace OrleansMq.Tests.Amqp.DotNet;

/// <summary>Limits of bytes, and of no message, of durable queues, with RabbitMQ's client.</summary>
public sealed class QueueLimitTests : ClientTest
{
    private static readonly (string, object?)[] Letters = [("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", "letters")];

    [Theory]
    [InlineData("quorum")]
    [InlineData("classic")]
    public async Task Messages_above_the_bytes_are_dead_letters_before_the_confirm(string type)
    {
        await DeclareAsync("letters", "quorum");
        await DeclareAsync("q", type, [("x-max-length-bytes", 10), .. Letters]);
        for (var i = 0; i < 20; i++)
        {
            await PublishAsync("q", $"{i:000}");
            Assert.Equal((uint)Math.Min(i + 1, 3), await CountAsync("q"));
        }
        for (var i = 0; i < 17; i++)
        {
            var letter = await GetAsync("letters");
            Assert.Equal(($"{i:000}", "maxlen"), (letter.Body, ReasonOf(letter)));
        }
        // One takes the room of several, and what is too large leaves none.
        await PublishAsync("q", "seven..");
        Assert.Equal(["017", "018"], [(await GetAsync("letters")).Body, (await GetAsync("letters")).Body]);
        Assert.Equal(2u, await CountAsync("q"));
        await PublishAsync("q", "eleven.....");
        Assert.Equal(["019", "seven..", "eleven....."],
            [(await GetAsync("letters")).Body, (await GetAsync("letters")).Body, (await GetAsync("letters")).Body]);
        Assert.Equal(0u, await CountAsync("q"));
        await Task.WhenAll(Enumerable.Range(20, 100).Select(i => PublishAsync("q", $"{i:000}").AsTask()));
        Assert.Equal(["117", "118", "119"], [(await GetAsync("q")).Body, (await GetAsync("q")).Body, (await GetAsync("q")).Body]);
        Assert.Equal(97u, await CountAsync("letters"));
    }

    [Theory]
    [InlineData("quorum")]
    [InlineData("classic")]
    public async Task Messages_above_the_bytes_are_dropped_and_what_a_consumer_holds_does_not_count(string type)
    {
        await DeclareAsync("q", type, ("x-max-length-bytes", 10));
        for (var i = 0; i < 20; i++)
        {
            await PublishAsync("q", $"{i:000}");
            Assert.Equal((uint)Math.Min(i + 1, 3), await CountAsync("q"));
        }
        var held = await Channel.BasicGetAsync("q", autoAck: false);
        Assert.Equal("017", Encoding.UTF8.GetString(held!.Body.Span));
        await PublishAsync("q", "020");
        Assert.Equal(3u, await CountAsync("q"));
        // It comes back to the head, and is the one too many.
        await Channel.BasicNackAsync(held.DeliveryTag, multiple: false, requeue: true);
        await UntilAsync(async () => await CountAsync("q") == 3);
        Assert.Equal(["018", "019", "020"], [(await GetAsync("q")).Body, (await GetAsync("q")).Body, (await GetAsync("q")).Body]);
    }

    [Theory]
    [InlineData("quorum", "x-max-length", 1)]
    [InlineData("classic", "x-max-length", 1)]
    [InlineData("quorum", "x-max-length-bytes", 3)]
    [InlineData("classic", "x-max-length-bytes", 3)]
    public async Task Message_that_comes_back_to_a_full_queue_is_a_dead_letter(string type, string argument, int limit)
    {
        await DeclareAsync("letters", "quorum");
        await DeclareAsync("q", type, [(argument, limit), .. Letters]);
        await PublishAsync("q", "one");
        var held = await Channel.BasicGetAsync("q", autoAck: false);
        await PublishAsync("q", "two");
        Assert.Equal((1u, 0u), (await CountAsync("q"), await CountAsync("letters")));
        await Channel.BasicNackAsync(held!.DeliveryTag, multiple: false, requeue: true);
        Assert.Equal(("one", "maxlen"), await GetAsync("letters") is var letter ? (letter.Body, ReasonOf(letter)) : default);
        Assert.Equal("two", (await GetAsync("q")).Body);
    }

    [Theory]
    [InlineData("quorum")]
    [InlineData("classic")]
    public async Task Queue_counts_its_bytes_again_after_a_restart(string type)
    {
        await DeclareAsync("q", type, ("x-max-length-bytes", 10));
        for (var i = 0; i < 3; i++)
            await PublishAsync("q", $"{i:000}");
        await RestartAsync();
        await PublishAsync("q", "003");
        Assert.Equal(3u, await CountAsync("q"));
        Assert.Equal("001", (await GetAsync("q")).Body);
    }

    [Theory]
    [InlineData("quorum", false)]
    [InlineData("classic", false)]
    [InlineData("classic", true)]
    public async Task Publishes_above_the_bytes_are_refused_until_messages_are_consumed(string type, bool areLetters)
    {
        await DeclareAsync("letters", "quorum");
        await DeclareAsync("q", type, [("x-max-length-bytes", 10), ("x-overflow", areLetters ? "reject-publish-dlx" : "reject-publish"),
            .. areLetters ? Letters : []]);
        await PublishAsync("q", "0123456789");
        // The queue may take some more before it knows that it is full.
        var refused = await RefusedAsync("more");
        Assert.False(refused.IsReturn);
        if (areLetters)
            Assert.Equal(("more", "maxlen"), await GetAsync("letters") is var letter ? (letter.Body, ReasonOf(letter)) : default);
        // One message that never fits.
        await Assert.ThrowsAsync<PublishException>(() => PublishAsync("q", "eleven.....").AsTask());
        Assert.Equal("0123456789", (await GetAsync("q")).Body);
        await Channel.QueuePurgeAsync("q");
        await UntilAsync(async () =>
        {
            try
            {
                await PublishAsync("q", "again");
                return true;
            }
            catch (PublishException)
            {
                return false;
            }
        });
    }

    [Theory]
    [InlineData("quorum", "drop-head", false)]
    [InlineData("classic", "drop-head", true)]
    [InlineData("classic", "reject-publish", false)]
    public async Task Policy_sets_and_takes_back_a_limit_of_bytes(string type, string overflow, bool areLetters)
    {
        await DeclareAsync("letters", "quorum");
        await DeclareAsync("q", type, areLetters ? Letters : []);
        for (var i = 0; i < 10; i++)
            await PublishAsync("q", $"{i:000}");
        var registry = await Gateway.Gateway.OpenQueuesAsync();
        Assert.True((await registry.Hosts.AdministerAsync(new SetPolicy("/", new Policy
        {
            Name = "limit",
            Pattern = SafePattern.Parse("^q$"),
            Definition = FieldTable.Of(("max-length-bytes", new IntegerValue(15)), ("overflow", new TextValue(overflow))),
        }))).IsChanged);
        if (overflow == "drop-head")
        {
            await UntilAsync(async () => await CountAsync("q") == 5);
            Assert.Equal("005", (await GetAsync("q")).Body);
            // A letter is counted by its own queue, a moment after its message is none of this one's.
            await UntilAsync(async () => await CountAsync("letters") == (areLetters ? 5u : 0));
        }
        else
            Assert.False((await RefusedAsync("more")).IsReturn);
        Assert.True((await registry.Hosts.AdministerAsync(new ClearPolicy("/", "limit"))).IsChanged);
        await UntilAsync(async () =>
        {
            try
            {
                await PublishAsync("q", "large".PadRight(100));
                return await CountAsync("q") > 5;
            }
            catch (PublishException)
            {
                return false;
            }
        });
    }

    [Theory]
    [InlineData("quorum", true)]
    [InlineData("quorum", false)]
    [InlineData("classic", true)]
    [InlineData("classic", false)]
    public async Task Queue_of_length_zero_serves_a_consumer_that_waits_and_keeps_nothing(string type, bool areLetters)
    {
        await DeclareAsync("letters", "quorum");
        await DeclareAsync("q", type, [("x-max-length", 0), .. areLetters ? Letters : []]);
        await PublishAsync("q", "nobody waits");
        await UntilAsync(async () => await CountAsync("q") == 0);
        if (areLetters)
            Assert.Equal(("nobody waits", "maxlen"), await GetAsync("letters") is var letter ? (letter.Body, ReasonOf(letter)) : default);
        Assert.Null(await Channel.BasicGetAsync("q", autoAck: true));
        await using var channel = await Connection.CreateChannelAsync();
        var received = await StartAsync(channel, "q", 1);
        // Its first request is at the queue soon.
        await UntilAsync(async () =>
        {
            await PublishAsync("q", "waited for");
            return received.Count > 0;
        });
        Assert.Equal("waited for", (await NextAsync(received)).Body);
        // It has no credit left.
        await PublishAsync("q", "one too many");
        await UntilAsync(async () => await CountAsync("q") == 0);
        Assert.Empty(received);
    }

    [Fact]
    public async Task Queue_of_length_zero_that_refuses_takes_nothing()
    {
        await DeclareAsync("q", "classic", ("x-max-length", 0), ("x-overflow", "reject-publish"));
        Assert.False((await RefusedAsync("m")).IsReturn);
        await UntilAsync(async () =>
        {
            while (await Channel.BasicGetAsync("q", autoAck: true) is not null)
            {
                // What it took before it knew that it is full.
            }
            return true;
        });
        await Assert.ThrowsAsync<PublishException>(() => PublishAsync("q", "m").AsTask());
    }

    private async Task<uint> CountAsync(string queue) => (await Channel.QueueDeclarePassiveAsync(queue)).MessageCount;

    private async Task<PublishException> RefusedAsync(string body)
    {
        PublishException? refused = null;
        await UntilAsync(async () =>
        {
            try
            {
                await PublishAsync("q", body);
            }
            catch (PublishException refusal)
            {
                refused = refusal;
            }
            return refused is not null;
        });
        return refused!;
    }

    private static string ReasonOf(Received letter) =>
        Text(((IDictionary<string, object?>)((List<object?>)letter.Headers["x-death"]!)[0]!)["reason"]);
}
