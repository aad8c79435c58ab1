using System.CommandLine;
using System.Text.Json.Serialization;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Replicas;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;

namespace OrleansMq.Cli.DeadLetters;

/// <summary><c>omq dead-letter redrive</c>.</summary>
internal static class DeadLetterCommands
{
    /// <summary>Creates the command.</summary>
    public static Command Create() =>
        new OmqCommand("dead-letter", "Sends dead letters back to where they came from.", "omq dead-letter redrive orders.dead-letter")
        {
            Redrive(),
        };

    private static OmqCommand Redrive()
    {
        var topic = BrokerCall.TopicArgument();
        var group = new Option<string?>("--group")
        {
            Description = "The group whose offsets say what is done already; default: the topic's name and '.redrive'.",
            HelpName = "GROUP",
        };
        var command = new OmqCommand("redrive",
            "Sends the records of a dead-letter topic back to their topics and partitions, up to the end that the topic has now.",
            "omq dead-letter redrive orders.dead-letter") { topic, group };
        var (server, json) = (ServerOption.AddTo(command), JsonOption.AddTo(command));
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var broker = server.Connect(parsed);
            var result = await new Admin(broker).RedriveAsync(parsed.GetRequiredValue(topic),
                new RedriveOptions { GroupId = parsed.GetValue(group) }, cancellationToken).ConfigureAwait(false);
            if (parsed.GetValue(json))
                Output.WriteJson(result, DeadLetterJson.Default.RedriveResult);
            else
                Output.WriteLine($"{result.Redriven} records sent back, {result.Duplicates} duplicates and {result.WithoutSource} without "
                    + "a source passed.");
        });
        return command;
    }
}

/// <summary>The JSON of these commands.</summary>
[JsonSourceGenerationOptions(System.Text.Json.JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(RedriveResult))]
internal sealed partial class DeadLetterJson : JsonSerializerContext;
