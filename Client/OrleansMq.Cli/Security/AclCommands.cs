using System.CommandLine;
using OrleansMq.Access;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Replicas;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;
using OrleansMq.Security;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace OrleansMq.Cli.Security;

/// <summary><c>omq acl ...</c>: add, list, remove, explain.</summary>
internal static class AclCommands
{
    private static readonly string[] FilterNotes = ["What is left out matches every rule."];

    /// <summary>Creates the command.</summary>
    public static Command Create() =>
        new OmqCommand("acl", "Shows and changes the rules of access control.",
            "omq acl add User:alice read,write topic:orders", "omq acl list User:alice",
            "omq acl explain User:alice write topic:orders", "omq acl remove User:alice read,write topic:orders")
        {
            Add(), List(), Remove(), Explain(),
        };

    private static OmqCommand Add()
    {
        var (principal, operation, resource) = (PrincipalArgument(true), OperationArgument(true), AclResource.Argument(true));
        var (deny, prefixed, host) = (new Option<bool>("--deny") { Description = "Refuses the operations, whatever other rules allow." },
            PrefixedOption(), HostOption());
        var command = new OmqCommand("add", "Allows a principal operations on a resource. Reading, writing, deleting and altering include "
            + "the description.",
            "omq acl add User:alice read,write topic:orders", "omq acl add User:alice read group:billing",
            "omq acl add User:alice read topic:orders- --prefixed", "omq acl add 'User:*' describe topic:'*'",
            "omq acl add User:bob write topic:orders --host 10.0.0.7 --deny")
        {
            principal, operation, resource, deny, prefixed, host,
        };
        var server = ServerOption.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var (of, pattern) = (AclResource.Parse(parsed.GetRequiredValue(resource)),
                parsed.GetValue(prefixed) ? AclPattern.Prefixed : AclPattern.Literal);
            AclBody[] rules = [.. AclResource.ParseOperations(parsed.GetRequiredValue(operation)).Select(one =>
                new AclBody(of.Type, of.Name, parsed.GetRequiredValue(principal)!, one, pattern,
                    parsed.GetValue(host) ?? AclRule.Anything, parsed.GetValue(deny) ? AclPermission.Deny : AclPermission.Allow))];
            using var broker = server.Connect(parsed);
            await broker.Security.CreateAclsAsync(new CreateAclsBody(rules), cancellationToken).ConfigureAwait(false);
            foreach (var rule in rules)
                Output.WriteLine(rule.ToRule().ToString());
        });
        return command;
    }

    private static OmqCommand List()
    {
        var filter = new FilterOptions();
        var command = filter.AddTo(new OmqCommand("list", $"Lists rules. {FilterNotes[0]}", "omq acl list",
            "omq acl list User:alice", "omq acl list 'User:*' read topic:orders --json"));
        BrokerCall.Show(command, (broker, parsed, cancellationToken) => broker.Security.ListAclsAsync(filter.Read(parsed),
            cancellationToken), SecurityApiJson.Default.IReadOnlyListAclBody, Table);
        return command;
    }

    private static OmqCommand Remove()
    {
        var filter = new FilterOptions();
        var command = filter.AddTo(new OmqCommand("remove", "Removes the rules of a principal, or some of them, and shows them. "
            + FilterNotes[0], "omq acl remove User:alice", "omq acl remove User:alice write topic:orders"));
        BrokerCall.Show(command, (broker, parsed, cancellationToken) => filter.IsEmpty(parsed)
            ? throw CommandFailedException.Usage("That would remove every rule. Name a principal: 'omq acl list' shows the rules.")
            : broker.Security.DeleteAclsAsync(filter.Read(parsed), cancellationToken), SecurityApiJson.Default.IReadOnlyListAclBody, Table);
        return command;
    }

    private static OmqCommand Explain()
    {
        var (principal, operation, resource, host) =
            (PrincipalArgument(true), OperationArgument(true), AclResource.Argument(true), HostOption());
        var command = new OmqCommand("explain", "Tells whether a principal may do something, by which rule, and whether the broker "
            + "enforces rules.",
            "omq acl explain User:alice write topic:orders", "omq acl explain User:alice describe cluster --host 10.0.0.7")
        {
            principal, operation, resource, host,
        };
        BrokerCall.Show(command, (broker, parsed, cancellationToken) =>
        {
            var of = AclResource.Parse(parsed.GetRequiredValue(resource));
            return AclResource.ParseOperations(parsed.GetRequiredValue(operation)) is [var one]
                ? broker.Security.ExplainAsync(new ExplainBody(parsed.GetRequiredValue(principal)!, one, of.Type, of.Name,
                    parsed.GetValue(host) ?? ""), cancellationToken)
                : throw CommandFailedException.Usage("OPERATION: give one.");
        }, SecurityApiJson.Default.ExplanationBody, static decision => new Text(TextOf(decision)));
        return command;
    }

    /// <summary>Tells of a decision: why it is made, and what it counts for in the broker's mode.</summary>
    public static string TextOf(ExplanationBody decision) => $"{HeadOf(decision)}{ReasonOf(decision)}\n{ModeOf(decision)}";

    private static IRenderable Table(IReadOnlyList<AclBody> rules)
    {
        if (rules.Count == 0)
            return new Text("No rules.\n");
        var table = Output.NewTable("PERMISSION", "PRINCIPAL", "OPERATION", "RESOURCE", "NAME", "PATTERN", "HOST");
        foreach (var rule in rules.OrderBy(static rule => rule.Principal, StringComparer.Ordinal)
            .ThenBy(static rule => rule.ResourceType).ThenBy(static rule => rule.ResourceName, StringComparer.Ordinal))
            table.AddRow(new Text(rule.Permission.ToString()), new Text(rule.Principal), new Text(rule.Operation.ToString()),
                new Text(rule.ResourceType.ToString()), new Text(rule.ResourceName), new Text(rule.Pattern.ToString()),
                new Text(rule.Host));
        return table;
    }

    private static string HeadOf(ExplanationBody decision) => (decision.Authorization, decision.IsAllowed) switch
    {
        (AuthorizationMode.Off or AuthorizationMode.Warn, true) => "Would be allowed: ",
        (AuthorizationMode.Off or AuthorizationMode.Warn, false) => "Would be refused: ",
        (_, true) => "Allowed: ",
        (_, false) => "Refused: ",
    };

    private static string ReasonOf(ExplanationBody decision) => decision.Reason switch
    {
        AclReason.SuperUser => "the principal is a super user.",
        AclReason.Denied or AclReason.Allowed => $"by the rule {decision.Rule!.ToRule()}.",
        AclReason.NoMatch => "rules are about the resource, but none allows this principal the operation.",
        _ => decision.IsAllowed ? "no rule is about the resource, and allow-everyone-if-no-acl-found is set."
            : "no rule is about the resource.",
    };

    // A broker of an earlier version does not tell its mode.
    private static string ModeOf(ExplanationBody decision) => decision.Authorization switch
    {
        AuthorizationMode.Off => "Authorization is off on this broker: no rule is enforced. Everything is allowed, unless the broker's "
            + "host has an authorizer of its own.\n",
        AuthorizationMode.Warn => "Authorization is warn on this broker: everything is allowed. "
            + (decision.IsAllowed ? "What rules would refuse is only logged and counted.\n"
                : "This refusal would only be logged and counted.\n"),
        AuthorizationMode.Enforce => "Authorization is enforce on this broker: what no rule allows is refused.\n",
        _ => "",
    };

    private static Argument<string?> PrincipalArgument(bool isRequired) => new("PRINCIPAL")
    {
        Description = "Type and name, such as User:alice; User:* is everyone.",
        Arity = isRequired ? ArgumentArity.ExactlyOne : ArgumentArity.ZeroOrOne,
    };

    private static Argument<string> OperationArgument(bool isRequired) => new("OPERATION")
    {
        Description = "read, write, create, delete, alter, describe, describeConfigs, alterConfigs, idempotentWrite or all; several "
            + "separated by commas.",
        Arity = isRequired ? ArgumentArity.ExactlyOne : ArgumentArity.ZeroOrOne,
    };

    private static Option<bool> PrefixedOption() =>
        new("--prefixed") { Description = "The rule is about every resource whose name begins with the given one." };

    private static Option<string> HostOption() =>
        new("--host") { Description = "The address that the client calls from. Default: any.", HelpName = "ADDRESS" };

    // What selects rules.
    private sealed class FilterOptions
    {
        private readonly Argument<string?> _principal = PrincipalArgument(false);
        private readonly Argument<string> _operation = OperationArgument(false);
        private readonly Argument<string> _resource = AclResource.Argument(false);
        private readonly Option<string> _host = HostOption();

        public OmqCommand AddTo(OmqCommand command)
        {
            command.Arguments.Add(_principal);
            command.Arguments.Add(_operation);
            command.Arguments.Add(_resource);
            command.Options.Add(_host);
            return command;
        }

        public bool IsEmpty(ParseResult parsed) => parsed.GetValue(_principal) is null && parsed.GetValue(_host) is null;

        public AclFiltersBody Read(ParseResult parsed)
        {
            var resource = parsed.GetValue(_resource) is { } text ? AclResource.Parse(text) : null;
            var operations = parsed.GetValue(_operation) is { } named ? AclResource.ParseOperations(named) : [AccessOperation.Any];
            return new AclFiltersBody([.. operations.Select(operation => new AclFilterBody(resource?.Type ?? ResourceType.Any,
                resource?.Name, AclPattern.Any, parsed.GetValue(_principal), parsed.GetValue(_host), operation))]);
        }
    }
}
