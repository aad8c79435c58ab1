using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.VirtualHosts;
using FieldTable = OrleansMq.Gateways.Amqp.Wire.FieldTable;
using FieldValue = OrleansMq.Gateways.Amqp.Wire.FieldValue;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>What a message becomes when it leaves a queue without being consumed.</summary>
internal static class DeadLetter
{
    /// <summary>The most bytes of a letter's deaths: 256 KiB, above a thousand of them. Beyond it each has one routing key, and then the
    /// oldest are dropped.</summary>
    public const int MaxDeathsBytes = 256 << 10;

    private const string Deaths = "x-death";

    /// <summary>Returns the dead letter of a message: with its deaths in its headers, without its expiration.</summary>
    public static AmqpMessage Of(AmqpMessage message, string queue, QueueSettings settings, DeathReason reason, DateTimeOffset now)
    {
        var name = NameOf(reason);
        var headers = message.Properties.Headers ?? default;
        var keys = Publication.KeysOf(message.Properties.Headers, message.RoutingKey);
        var known = (message.IsDeadLetter ? headers.Find("x-death"u8)?.Values ?? [] : []).Select(static value => value.Table)
            .OfType<FieldTable>().ToList();
        var same = known.FindIndex(death => death.Find("queue"u8)?.Text == queue && death.Find("reason"u8)?.Text == name);
        FieldTable death;
        if (same >= 0)
        {
            death = known[same].With("count", FieldValue.Of((known[same].Find("count"u8)?.Integer ?? 0) + 1));
            known.RemoveAt(same);
        }
        else
        {
            death = FieldTable.Of(("count", FieldValue.Of(1L)), ("reason", FieldValue.Of(name)), ("queue", FieldValue.Of(queue)),
                ("time", FieldValue.OfTimestamp(now.ToUnixTimeSeconds())), ("exchange", FieldValue.Of(message.Exchange)),
                ("routing-keys", FieldValue.OfArray([.. keys.Select(static key => FieldValue.Of(key))])));
            if (message.Properties.Expiration is { } expiration)
                death = death.With("original-expiration", FieldValue.Of(expiration));
        }
        known.Insert(0, death);
        headers = headers.With(Deaths, FieldValue.OfArray([.. Bound(known).Select(static table => FieldValue.Of(table))]));
        if (!message.IsDeadLetter || headers.Find("x-first-death-queue"u8) is null)
            headers = WithDeath(headers, "first", name, queue, message.Exchange);
        headers = WithDeath(headers, "last", name, queue, message.Exchange);
        if (settings.DeadLetterRoutingKey is not null)
            headers = headers.Without("CC"u8);
        return message with
        {
            Exchange = settings.DeadLetterExchange!,
            RoutingKey = settings.DeadLetterRoutingKey ?? message.RoutingKey,
            Properties = message.Properties.Without(BasicProperty.Expiration).With(headers),
            Published = now.ToUnixTimeMilliseconds(),
            IsDeadLetter = true,
            // Another producer may have written the record's header.
            DelayedBy = null,
        };
    }

    /// <summary>Whether a dead letter has died in a queue before, and no consumer has rejected it since: it would go round for
    /// ever.</summary>
    public static bool IsCycle(AmqpMessage letter, string queue)
    {
        if (!letter.IsDeadLetter)
            return false;
        // The latest death comes first.
        foreach (var death in letter.Properties.Headers?.Find("x-death"u8)?.Values ?? [])
        {
            if (death.Table?.Find("reason"u8)?.Text == "rejected")
                return false;
            if (death.Table?.Find("queue"u8)?.Text == queue)
                return true;
        }
        return false;
    }

    // The latest comes first.
    private static IEnumerable<FieldTable> Bound(List<FieldTable> deaths)
    {
        if (deaths.Sum(static death => (long)death.Bytes.Length) > MaxDeathsBytes)
            deaths = deaths.ConvertAll(WithOneKey);
        var bytes = 0L;
        return deaths.TakeWhile(death => (bytes += death.Bytes.Length) <= MaxDeathsBytes);
    }

    private static FieldTable WithOneKey(FieldTable death)
    {
        var keys = (death.Find("routing-keys"u8)?.Values ?? []).Take(2).ToArray();
        return keys.Length > 1 ? death.With("routing-keys", FieldValue.OfArray([keys[0]])) : death;
    }

    private static FieldTable WithDeath(FieldTable headers, string which, string reason, string queue, string exchange) => headers
        .With($"x-{which}-death-reason", FieldValue.Of(reason))
        .With($"x-{which}-death-queue", FieldValue.Of(queue))
        .With($"x-{which}-death-exchange", FieldValue.Of(exchange));

    private static string NameOf(DeathReason reason) => reason switch
    {
        DeathReason.Rejected => "rejected",
        DeathReason.Expired => "expired",
        DeathReason.MaxLength => "maxlen",
        _ => "delivery_limit",
    };
}
