using System.CommandLine;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;

namespace OrleansMq.Cli.Security;

/// <summary><c>omq ticket ...</c>: replace-key, drop-old-keys.</summary>
internal static class TicketCommands
{
    /// <summary>Creates the command.</summary>
    public static Command Create() =>
        new OmqCommand("ticket", "Replaces the key of tickets, by which brokers and Orleans clients prove whose a grain call is.",
            "omq ticket replace-key", "omq ticket drop-old-keys")
        {
            Replace(), Drop(),
        };

    private static OmqCommand Replace() => Change(new OmqCommand("replace-key", "Has new tickets made with a new key. Those of the key "
        + "before are good until they expire, or omq ticket drop-old-keys. Run it once all brokers are of one version.",
        "omq ticket replace-key"), static (broker, cancellationToken) => broker.Security.ReplaceTicketKeyAsync(cancellationToken),
        "The key of tickets is replaced. omq ticket drop-old-keys drops the one before.");

    private static OmqCommand Drop() => Change(new OmqCommand("drop-old-keys", "Refuses the tickets of keys that were replaced. Orleans "
        + "clients that are logged in do so again.", "omq ticket drop-old-keys"),
        static (broker, cancellationToken) => broker.Security.DropOldTicketKeysAsync(cancellationToken),
        "Only tickets of the newest key are good now.");

    private static OmqCommand Change(OmqCommand command, Func<HttpBroker, CancellationToken, ValueTask> change, string done)
    {
        var server = ServerOption.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var broker = server.Connect(parsed);
            await change(broker, cancellationToken).ConfigureAwait(false);
            Output.WriteLine(done);
        });
        return command;
    }
}
