using System.CommandLine;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Groups;
using OrleansMq.Cli.Terminal;
using RabbitMQ.Client;

namespace OrleansMq.Cli.Amqp;

/// <summary><c>omq amqp shovel</c>: moves the messages of queues from one broker to another, in their order.</summary>
internal static class ShovelCommand
{
    private const string FromVariable = "OMQ_AMQP_FROM_URL";
    private const string ToVariable = "OMQ_AMQP_URL";
    private const string DefaultTo = "amqp://guest:guest@127.0.0.1:5672";
    private const int DefaultPrefetch = 500;

    /// <summary>Creates the command.</summary>
    public static Command Create()
    {
        var options = new Options();
        var command = new OmqCommand("shovel",
            "Moves messages from the queues of one AMQP broker to another, each queue in its order. A message leaves the source when the "
            + "target has confirmed it, so none is lost; after a lost connection some may come twice. Ends when the queues are empty.",
            "omq amqp shovel --from amqp://user:password@old:5672 --queue orders --queue mails",
            "omq amqp shovel --from amqp://user:password@old:5672 --all --from-management http://user:password@old:15672",
            "omq amqp shovel --from amqp://127.0.0.1:5672 --queue dead --to-queue orders",
            "omq amqp shovel --from amqp://user:password@old:5672 --queue big --to-exchange spread --follow")
        {
            options.From, options.To, options.Queues, options.All, options.Management, options.ToQueue, options.ToExchange, options.Key,
            options.Prefetch, options.Follow, options.Retry,
        };
        var json = JsonOption.AddTo(command, "Write a line of JSON for each queue.");
        command.SetAction((parsed, cancellationToken) => RunAsync(parsed, options, parsed.GetValue(json), cancellationToken));
        return command;
    }

    private static async Task RunAsync(ParseResult parsed, Options options, bool json, CancellationToken cancellationToken)
    {
        var source = parsed.GetValue(options.From) ?? Environment.GetEnvironmentVariable(FromVariable)
            ?? throw CommandFailedException.Usage($"Give the source by --from, or by {FromVariable}, which no list of processes shows.");
        var from = ShovelRoute.Factory("--from", source);
        var to = ShovelRoute.Factory("--to", parsed.GetValue(options.To) ?? Environment.GetEnvironmentVariable(ToVariable) ?? DefaultTo);
        var settings = new ShovelSettings((ushort)parsed.GetValue(options.Prefetch), parsed.GetValue(options.Follow),
            Times.ParseDuration("--retry", parsed.GetRequiredValue(options.Retry)));
        foreach (var route in await RoutesAsync(parsed, options, from, cancellationToken).ConfigureAwait(false))
        {
            await RefuseCircleAsync(route, from, to).ConfigureAwait(false);
            var run = new ShovelRun(route, settings, from, to);
            using (new ProgressLine(() => Describe(run.Summary)))
                await run.RunAsync(cancellationToken).ConfigureAwait(false);
            if (json)
                Output.WriteJson(run.Summary, AmqpJson.Default.ShovelSummary);
            else
                Output.WriteLine(Describe(run.Summary));
            // What follows ends no other way.
            if (!settings.Follow)
                cancellationToken.ThrowIfCancellationRequested();
        }
    }

    private static async Task<IReadOnlyList<ShovelRoute>> RoutesAsync(ParseResult parsed, Options options, ConnectionFactory from,
        CancellationToken cancellationToken)
    {
        var queues = parsed.GetValue(options.Queues) ?? [];
        var (all, follow) = (parsed.GetValue(options.All), parsed.GetValue(options.Follow));
        var (toQueue, toExchange, key) = (parsed.GetValue(options.ToQueue), parsed.GetValue(options.ToExchange),
            parsed.GetValue(options.Key));
        if (all == queues.Length > 0)
            throw CommandFailedException.Usage("Give the queues by one of --queue and --all.");
        if (follow && (all || queues.Length > 1))
            throw CommandFailedException.Usage("--follow waits at one queue: give one --queue, and run the command once for each.");
        if (toQueue is not null && toExchange is not null)
            throw CommandFailedException.Usage("Give one of --to-queue and --to-exchange.");
        if (key is not null && toExchange is null)
            throw CommandFailedException.Usage("--to-key belongs to --to-exchange.");
        if (all)
            queues = await AllAsync(parsed.GetValue(options.Management), from.VirtualHost, cancellationToken).ConfigureAwait(false);
        return [.. queues.Select(queue => toExchange is { } exchange ? new ShovelRoute(queue, exchange, key)
            : new ShovelRoute(queue, "", toQueue ?? queue))];
    }

    private static async Task<string[]> AllAsync(string? management, string host, CancellationToken cancellationToken)
    {
        if (management is null)
            throw CommandFailedException.Usage("--all needs --from-management, the source's management API, which lists its queues.");
        using var source = ManagementClient.At("--from-management", management);
        var listed = await source.QueuesAsync(host, cancellationToken).ConfigureAwait(false);
        foreach (var stream in listed.Where(static queue => queue.Type == "stream"))
            Console.Error.WriteLine($"omq: left out: stream '{stream.Name}', which consumers do not empty");
        return [.. listed.Where(static queue => queue.Type != "stream" && !queue.Exclusive).Select(static queue => queue.Name)];
    }

    // Messages would be taken and put back for ever.
    private static async Task RefuseCircleAsync(ShovelRoute route, ConnectionFactory from, ConnectionFactory to)
    {
        if (route is { Exchange: "", RoutingKey: { } target } && target == route.Queue
            && (from.Port, from.VirtualHost) == (to.Port, to.VirtualHost)
            && await IsOneAsync(from.HostName, to.HostName).ConfigureAwait(false))
            throw CommandFailedException.Usage($"--from and --to are one broker, and queue '{route.Queue}' would go into itself. Give "
                + "another --to, --to-queue or --to-exchange.");
    }

    private static async Task<bool> IsOneAsync(string one, string other)
    {
        if (one == other)
            return true;
        try
        {
            var (addresses, others) = (await Dns.GetHostAddressesAsync(one).ConfigureAwait(false),
                await Dns.GetHostAddressesAsync(other).ConfigureAwait(false));
            return addresses.Intersect(others).Any() || (addresses.Any(IPAddress.IsLoopback) && others.Any(IPAddress.IsLoopback));
        }
        catch (SocketException)
        {
            // A name that is not known: the connection will say so.
            return false;
        }
    }

    private static string Describe(ShovelSummary summary) => string.Create(CultureInfo.InvariantCulture,
        $"{summary.Queue}: {summary.Moved:N0} {(summary.Moved == 1 ? "message" : "messages")} moved ({summary.Bytes / 1e6:N1} MB) in "
        + $"{summary.Seconds:N1} s{(summary.Reconnects == 0 ? "" : $", {summary.Reconnects} reconnects")}");

    private sealed class Options
    {
        public Option<string?> From { get; } = new("--from") { Description = "The source, amqp://user:password@host:port/vhost. By "
            + $"default {FromVariable}.", HelpName = "URL" };

        public Option<string?> To { get; } = new("--to") { Description = $"The target. By default {ToVariable}, else {DefaultTo}.",
            HelpName = "URL" };

        public Option<string[]> Queues { get; } = new("--queue") { Description = "A queue of the source; can be repeated.",
            HelpName = "NAME", Arity = ArgumentArity.OneOrMore };

        public Option<bool> All { get; } = new("--all") { Description = "All queues of the virtual host, except streams and exclusive "
            + "queues." };

        public Option<string?> Management { get; } = new("--from-management") { Description = "The source's management API, for --all.",
            HelpName = "URL" };

        public Option<string?> ToQueue { get; } = new("--to-queue") { Description = "The queue at the target; by default the one with the "
            + "same name.", HelpName = "NAME" };

        public Option<string?> ToExchange { get; } = new("--to-exchange") { Description = "Publishes to an exchange of the target, with "
            + "each message's own routing key: one of type x-consistent-hash spreads a backlog.", HelpName = "NAME" };

        public Option<string?> Key { get; } = new("--to-key") { Description = "The routing key for --to-exchange.", HelpName = "KEY" };

        public Option<int> Prefetch { get; } = new("--prefetch") { Description = $"The most messages on their way, 1 to {ushort.MaxValue}; "
            + $"{DefaultPrefetch} by default.", HelpName = "N", DefaultValueFactory = static _ => DefaultPrefetch };

        public Option<bool> Follow { get; } = new("--follow") { Description = "Wait for more messages; Ctrl-C ends it." };

        public Option<string> Retry { get; } = new("--retry") { Description = "How long it waits while nothing moves, though there is "
            + "something to move; 60s by default.", HelpName = "DURATION", DefaultValueFactory = static _ => "60s" };

        public Options() => Prefetch.Validators.Add(static result =>
        {
            if (result.Tokens is [{ Value: var text }] && int.TryParse(text, CultureInfo.InvariantCulture, out var given)
                && given is < 1 or > ushort.MaxValue)
                result.AddError($"--prefetch is {given}, but must be from 1 to {ushort.MaxValue}.");
        });
    }
}
