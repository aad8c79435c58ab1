using System.CommandLine;
using System.Globalization;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Replicas;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;
using OrleansMq.Quotas;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace OrleansMq.Cli.Security;

/// <summary><c>omq quota ...</c>: list, usage, set, remove.</summary>
internal static class QuotaCommands
{
    // A user of that name cannot be named otherwise; Kafka's tools have the same word.
    private const string DefaultName = "<default>";

    /// <summary>Creates the command.</summary>
    public static Command Create() =>
        new OmqCommand("quota", "Shows and changes what users, clients and addresses may use.",
            "omq quota set --user alice producer_byte_rate=1048576", "omq quota list", "omq quota usage",
            "omq quota remove --user alice producer_byte_rate")
        {
            List(), Usage(), Set(), Remove(),
        };

    private static OmqCommand List()
    {
        var command = new OmqCommand("list", "Lists the quotas.", "omq quota list", "omq quota list --json");
        BrokerCall.Show(command, (broker, _, cancellationToken) => broker.Security.ListQuotasAsync(cancellationToken),
            QuotaApiJson.Default.IReadOnlyListQuotaBody, Table);
        return command;
    }

    private static OmqCommand Usage()
    {
        var command = new OmqCommand("usage", "Lists what was used of the quotas on one broker in the last ten seconds.",
            "omq quota usage", "omq quota usage --server http://broker2:8080 --json");
        BrokerCall.Show(command, (broker, _, cancellationToken) => broker.Security.ListQuotaUsageAsync(cancellationToken),
            QuotaApiJson.Default.IReadOnlyListQuotaUsageBody, Table);
        return command;
    }

    private static OmqCommand Set()
    {
        var entity = new EntityOptions();
        var limits = new Argument<string[]>("KEY=VALUE")
        {
            Description = "Limits: producer_byte_rate and consumer_byte_rate in bytes a second, request_percentage in percent of one "
                + "processor, controller_mutation_rate in partitions a second, connection_creation_rate in connections a second, "
                + "producer_ids in producer ids that write.",
            Arity = ArgumentArity.OneOrMore,
        };
        var command = entity.AddTo(new OmqCommand("set", "Sets limits of a user, a client id, both, or an address.",
            "omq quota set --user alice producer_byte_rate=1048576 consumer_byte_rate=2097152",
            "omq quota set --user alice --client-id importer request_percentage=50",
            $"omq quota set --user '{DefaultName}' controller_mutation_rate=5",
            "omq quota set --ip 10.0.0.7 connection_creation_rate=10"));
        command.Arguments.Add(limits);
        return Alter(command, entity, parsed => parsed.GetRequiredValue(limits).Select(ParseLimit));
    }

    private static OmqCommand Remove()
    {
        var entity = new EntityOptions();
        var keys = new Argument<string[]>("KEY")
        {
            Description = "The limits to remove.",
            Arity = ArgumentArity.OneOrMore,
        };
        var command = entity.AddTo(new OmqCommand("remove", "Removes limits of a user, a client id, both, or an address.",
            "omq quota remove --user alice producer_byte_rate", "omq quota remove --ip 10.0.0.7 connection_creation_rate"));
        command.Arguments.Add(keys);
        return Alter(command, entity, parsed => parsed.GetRequiredValue(keys).Select(static key => (key, (double?)null)));
    }

    private static OmqCommand Alter(OmqCommand command, EntityOptions entity, Func<ParseResult, IEnumerable<(string, double?)>> read)
    {
        var server = ServerOption.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var limits = new Dictionary<string, double?>(StringComparer.Ordinal);
            foreach (var (key, value) in read(parsed))
                limits[key] = value;
            var change = entity.Read(parsed) with { Limits = limits };
            using var broker = server.Connect(parsed);
            await broker.Security.AlterQuotasAsync(new AlterQuotasBody([change]), cancellationToken).ConfigureAwait(false);
            Output.WriteLine($"{new QuotaEntity(change.User, change.ClientId, change.Ip)}: " + string.Join(", ",
                limits.Select(static one => one.Value is { } value ? $"{one.Key}={Text(value)}" : $"{one.Key} is removed")));
        });
        return command;
    }

    private static (string, double?) ParseLimit(string text) =>
        text.IndexOf('=', StringComparison.Ordinal) is > 0 and var at
            && double.TryParse(text.AsSpan(at + 1), NumberStyles.Float, CultureInfo.InvariantCulture, out var value)
            ? (text[..at], value)
            : throw CommandFailedException.Usage($"'{text}' is no limit; expected KEY=VALUE, such as producer_byte_rate=1048576.");

    private static IRenderable Table(IReadOnlyList<QuotaBody> quotas)
    {
        if (quotas.Count == 0)
            return new Text("No quotas. omq quota set sets one.\n");
        var table = Output.NewTable("USER", "CLIENT ID", "IP", "QUOTA", "LIMIT");
        foreach (var quota in quotas)
        {
            foreach (var (key, limit) in quota.Limits)
                table.AddRow(new Text(Name(quota.User)), new Text(Name(quota.ClientId)), new Text(Name(quota.Ip)), new Text(key),
                    new Text(Text(limit)));
        }
        return table;
    }

    private static IRenderable Table(IReadOnlyList<QuotaUsageBody> usage)
    {
        if (usage.Count == 0)
            return new Text("Nothing was used of any quota lately.\n");
        var table = Output.NewTable("USER", "CLIENT ID", "IP", "QUOTA", "USED/S", "SHARE", "LIMIT", "HELD FOR");
        foreach (var one in usage)
            table.AddRow(new Text(one.User ?? ""), new Text(one.ClientId ?? ""), new Text(one.Ip ?? ""), new Text(one.Quota),
                new Text(Text(one.Used)), new Text(Text(one.Share)), new Text(Text(one.Limit)),
                new Text(one.HeldForSeconds > 0 ? $"{Text(one.HeldForSeconds)} s" : ""));
        return table;
    }

    private static string Name(string? name) => name switch { null => "", QuotaEntity.Default => DefaultName, _ => name };

    private static string Text(double value) => value.ToString("0.###", CultureInfo.InvariantCulture);

    // Whom limits are about.
    private sealed class EntityOptions
    {
        private readonly Option<string> _user = Option("--user", "NAME", "The user");
        private readonly Option<string> _client = Option("--client-id", "ID", "The name that clients give themselves");
        private readonly Option<string> _ip = Option("--ip", "ADDRESS", "The address that clients connect from");

        public OmqCommand AddTo(OmqCommand command)
        {
            command.Options.Add(_user);
            command.Options.Add(_client);
            command.Options.Add(_ip);
            return command;
        }

        public QuotaChangeBody Read(ParseResult parsed)
        {
            var change = new QuotaChangeBody(new Dictionary<string, double?>(), NameOf(parsed.GetValue(_user)),
                NameOf(parsed.GetValue(_client)), NameOf(parsed.GetValue(_ip)));
            return change is { User: null, ClientId: null, Ip: null }
                ? throw CommandFailedException.Usage("Name whom it is about: --user, --client-id, both, or --ip.") : change;
        }

        private static string? NameOf(string? name) => name == DefaultName ? QuotaEntity.Default : name;

        private static Option<string> Option(string name, string help, string what) =>
            new(name) { Description = $"{what}; {DefaultName} for every one without a limit of its own.", HelpName = help };
    }
}
