using OrleansMq.Cli.CommandLine;
using RabbitMQ.Client;

namespace OrleansMq.Cli.Amqp;

/// <summary>From which queue a shovel takes messages, and how it publishes them.</summary>
/// <param name="Queue">The queue at the source.</param>
/// <param name="Exchange">The exchange at the target; empty: the default exchange.</param>
/// <param name="RoutingKey">The routing key at the target; null: the message's own.</param>
internal sealed record ShovelRoute(string Queue, string Exchange, string? RoutingKey)
{
    private const string CarbonCopies = "CC";
    private const string MovedCarbonCopies = "x-shovel-cc";
    private const string MovedUser = "x-shovel-user-id";

    /// <summary>Returns the properties of a message as the target takes them. Each copy of a message is in a queue already, so a header CC
    /// must not route it again; a user id must be that of the connection. Both become headers that mean nothing.</summary>
    /// <param name="properties">The message's own.</param>
    /// <param name="user">The user at the target.</param>
    public static BasicProperties Adapt(IReadOnlyBasicProperties properties, string user)
    {
        var adapted = new BasicProperties(properties);
        var headers = properties.Headers is { } own ? new Dictionary<string, object?>(own) : [];
        if (headers.Remove(CarbonCopies, out var copies))
            headers[MovedCarbonCopies] = copies;
        if (properties.IsUserIdPresent() && properties.UserId != user)
        {
            headers[MovedUser] = properties.UserId;
            adapted.ClearUserId();
        }
        if (headers.Count > 0)
            adapted.Headers = headers;
        return adapted;
    }

    /// <summary>Parses an address.</summary>
    /// <exception cref="CommandFailedException">It is not an AMQP address.</exception>
    public static ConnectionFactory Factory(string option, string text)
    {
        if (!Uri.TryCreate(text, UriKind.Absolute, out var address) || address.Scheme is not ("amqp" or "amqps"))
            throw CommandFailedException.Usage($"{option} '{text}' is not the address of a broker. Write it like "
                + "amqp://user:password@host:5672/vhost, without a path for the virtual host /.");
        // The library takes a trailing slash for the virtual host with the empty name.
        var trimmed = new UriBuilder(address) { Path = address.AbsolutePath.TrimEnd('/') }.Uri;
        try
        {
            return new ConnectionFactory { Uri = trimmed, AutomaticRecoveryEnabled = false, ClientProvidedName = "omq amqp shovel" };
        }
        catch (ArgumentException e)
        {
            throw CommandFailedException.Usage($"{option}: {e.Message}");
        }
    }
}

/// <summary>The result for one queue.</summary>
/// <param name="Queue">The queue at the source.</param>
/// <param name="Moved">The number of messages that the target confirmed and the source gave up.</param>
/// <param name="Bytes">The bytes of their bodies.</param>
/// <param name="Reconnects">How often a connection was lost and opened again.</param>
/// <param name="Seconds">How long it took.</param>
internal sealed record ShovelSummary(string Queue, long Moved, long Bytes, int Reconnects, double Seconds);
