using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.VirtualHosts;
using FieldTable = OrleansMq.Gateways.Amqp.Wire.FieldTable;
using FieldValue = OrleansMq.Gateways.Amqp.Wire.FieldValue;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>What dead letters carry of their deaths.</summary>
public sealed class DeadLetterTests
{
    private static readonly QueueSettings Settings = QueueSettings.Of(new QueueState
    {
        Name = "q",
        Id = 1,
        Type = QueueType.Classic,
        Arguments = VirtualHosts.FieldTable.Of(("x-dead-letter-exchange", new TextValue("letters"))),
    }, policy: null, limits: null);

    [Fact]
    public void Deaths_of_a_letter_with_many_keys_are_bounded_and_all_found_again()
    {
        var letter = Message(keys: 1_000, keyLength: 100);
        for (var i = 0; i < 300; i++)
        {
            letter = Kill(letter, $"q{i}");
            Assert.InRange(DeathsOf(letter).Sum(static death => death.Bytes.Length), 1, DeadLetter.MaxDeathsBytes);
        }
        Assert.Equal(Enumerable.Range(0, 300).Reverse().Select(static i => $"q{i}"), DeathsOf(letter).Select(NameOf));
        Assert.All(DeathsOf(letter), static death => Assert.Equal("key", death.Find("routing-keys"u8)!.Value.Values!.First().Text));
        Assert.True(DeadLetter.IsCycle(letter, "q0"));
        Assert.Equal("q0", letter.Properties.Headers!.Value.Find("x-first-death-queue"u8)!.Value.Text);
    }

    [Fact]
    public void Oldest_deaths_are_dropped_where_they_do_not_fit()
    {
        var letter = Message(keys: 0, keyLength: 0);
        for (var i = 0; i < 2_000; i++)
            letter = Kill(letter, $"{i}".PadLeft(200, '0'));
        var deaths = DeathsOf(letter);
        Assert.InRange(deaths.Sum(static death => death.Bytes.Length), DeadLetter.MaxDeathsBytes - 1_000, DeadLetter.MaxDeathsBytes);
        Assert.Equal(Enumerable.Range(0, deaths.Count).Select(static back => $"{1_999 - back}".PadLeft(200, '0')), deaths.Select(NameOf));
    }

    private static AmqpMessage Message(int keys, int keyLength)
    {
        var copies = FieldValue.OfArray([.. Enumerable.Range(0, keys).Select(i => FieldValue.Of($"{i}".PadLeft(keyLength, '0')))]);
        return new AmqpMessage("x", "key", ContentProperties.None.With(FieldTable.Of(("CC", copies))), "m"u8.ToArray(), 0);
    }

    private static AmqpMessage Kill(AmqpMessage message, string queue) =>
        DeadLetter.Of(message, queue, Settings, DeathReason.Expired, DateTimeOffset.UnixEpoch);

    private static List<FieldTable> DeathsOf(AmqpMessage letter) =>
        [.. letter.Properties.Headers!.Value.Find("x-death"u8)!.Value.Values!.Select(static value => value.Table!.Value)];

    private static string? NameOf(FieldTable death) => death.Find("queue"u8)?.Text;
}
