using System.CommandLine;
using System.Text.Json.Serialization.Metadata;
using OrleansMq.Api;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;
using Spectre.Console.Rendering;

namespace OrleansMq.Cli.Replicas;

/// <summary>Sets up commands that send a request to a broker.</summary>
internal static class BrokerCall
{
    /// <summary>Sets up a command that shows a result as a table or as JSON.</summary>
    public static void Show<T>(Command command, Func<HttpBroker, ParseResult, CancellationToken, ValueTask<T>> ask, JsonTypeInfo<T> type,
        Func<T, IRenderable> table)
    {
        var (server, json) = (ServerOption.AddTo(command), JsonOption.AddTo(command));
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var broker = server.Connect(parsed);
            var answer = await ask(broker, parsed, cancellationToken).ConfigureAwait(false);
            if (parsed.GetValue(json))
                Output.WriteJson(answer, type);
            else
                Output.Write(table(answer));
        });
    }

    /// <summary>Sets up a command that changes something and confirms it.</summary>
    public static void Tell(Command command, Func<IBroker, ParseResult, CancellationToken, ValueTask> order, Func<ParseResult, string> done)
    {
        var server = ServerOption.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var broker = server.Connect(parsed);
            await order(broker, parsed, cancellationToken).ConfigureAwait(false);
            Output.WriteLine(done(parsed));
        });
    }

    /// <summary>Creates the argument for a broker's number.</summary>
    public static Argument<int> BrokerArgument() =>
        new Argument<int>("BROKER") { Description = "The broker's number: see omq cluster status." }.AtLeast(0);

    /// <summary>Creates the argument for a topic's name.</summary>
    public static Argument<string> TopicArgument() => new("TOPIC") { Description = "The topic's name." };

    /// <summary>Creates the argument for a partition's number.</summary>
    public static Argument<int> PartitionArgument() =>
        new Argument<int>("PARTITION") { Description = "The partition's number, from 0." }.AtLeast(0);

    private static Argument<int> AtLeast(this Argument<int> argument, int least)
    {
        argument.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: var text }] && (!int.TryParse(text, out var number) || number < least))
                result.AddError($"{argument.Name} '{text}': expected a whole number from {least}.");
        });
        return argument;
    }
}
