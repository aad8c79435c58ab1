using System.CommandLine;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Terminal;

namespace OrleansMq.Cli.Amqp;

/// <summary><c>omq amqp import-definitions</c>: imports virtual hosts, users, permissions, policies, exchanges, queues and
/// bindings.</summary>
internal static class ImportDefinitionsCommand
{
    private const string EnvironmentVariable = "OMQ_AMQP_MANAGEMENT_URL";
    private const string Default = "http://guest:guest@127.0.0.1:15672";

    /// <summary>Creates the command.</summary>
    public static Command Create()
    {
        var file = new Argument<string?>("FILE") { Description = "The definitions as RabbitMQ exports them; - is standard input.",
            Arity = ArgumentArity.ZeroOrOne };
        var from = new Option<string?>("--from") { Description = "Takes the definitions from a management API instead of a file.",
            HelpName = "URL" };
        var to = new Option<string?>("--to") { Description = $"The broker's management API (--amqp-management). By default "
            + $"{EnvironmentVariable}, else {Default}.", HelpName = "URL" };
        var host = new Option<string?>("--vhost") { Description = "One virtual host: its definitions go into the one of the same name. "
            + "By default all, with users.", HelpName = "NAME" };
        var command = new OmqCommand("import-definitions",
            "Imports the definitions of a RabbitMQ cluster: virtual hosts, users, permissions, policies, exchanges, queues, bindings. "
            + "Nothing is deleted; users, permissions and policies of the same name are replaced.",
            "omq amqp import-definitions definitions.json", "omq amqp import-definitions --from http://user:password@old:15672",
            "rabbitmqctl export_definitions - | omq amqp import-definitions -")
        {
            file, from, to, host,
        };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var name = parsed.GetValue(host);
            var definitions = await ReadAsync(parsed.GetValue(file), parsed.GetValue(from), name, cancellationToken).ConfigureAwait(false);
            var address = parsed.GetValue(to) ?? Environment.GetEnvironmentVariable(EnvironmentVariable) ?? Default;
            using var broker = ManagementClient.At("--to", address);
            var leftOut = await broker.ImportAsync(name, definitions, cancellationToken).ConfigureAwait(false);
            foreach (var part in leftOut)
                Console.Error.WriteLine($"omq: left out: {part}");
            Output.WriteLine(leftOut.Count == 0 ? "Imported." : $"Imported, except {leftOut.Count}.");
        });
        return command;
    }

    private static async Task<byte[]> ReadAsync(string? file, string? from, string? host, CancellationToken cancellationToken)
    {
        switch (file, from)
        {
            case ({ } path, null):
                var source = path == "-" ? StandardInput.Open() : File.OpenRead(path);
                await using (source.ConfigureAwait(false))
                {
                    using var definitions = new MemoryStream();
                    await source.CopyToAsync(definitions, cancellationToken).ConfigureAwait(false);
                    return definitions.ToArray();
                }
            case (null, { } address):
                using (var other = ManagementClient.At("--from", address))
                    return await other.ExportAsync(host, cancellationToken).ConfigureAwait(false);
            default:
                throw CommandFailedException.Usage("Give the definitions by one of FILE and --from.");
        }
    }
}
