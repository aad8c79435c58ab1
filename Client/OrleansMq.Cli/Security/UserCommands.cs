using System.CommandLine;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Replicas;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace OrleansMq.Cli.Security;

/// <summary><c>omq user ...</c>: add, list, remove.</summary>
internal static class UserCommands
{
    /// <summary>Creates the command.</summary>
    public static Command Create() =>
        new OmqCommand("user", "Creates and removes users, who authenticate with a password.",
            "omq user add alice --new-password-file alice.txt", "omq user list", "omq user remove alice")
        {
            Add(), List(), Remove(),
        };

    private static OmqCommand Add()
    {
        var name = NameArgument();
        var file = new Option<string>("--new-password-file")
        {
            Description = "The file whose first line is the new password. By default it is read from the terminal or standard input.",
            HelpName = "FILE",
        };
        var command = new OmqCommand("add", "Creates a user, or gives an existing one another password. Its connections stay open. The "
            + "broker stores SCRAM verifiers, never the password.",
            "omq user add alice", "pwgen 24 1 | tee alice.txt | omq user add alice") { name, file };
        var server = ServerOption.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var user = parsed.GetRequiredValue(name);
            var password = parsed.GetValue(file) is { } path ? UserOption.ReadFirstLine("--new-password-file", path) : Ask(user);
            if (password.Length == 0)
                throw CommandFailedException.Usage("The new password is empty.");
            using var broker = server.Connect(parsed);
            await broker.Security.SetPasswordAsync(user, new PasswordBody(password), cancellationToken).ConfigureAwait(false);
            Output.WriteLine($"User {user} has that password now.");
        });
        return command;
    }

    private static OmqCommand List()
    {
        var command = new OmqCommand("list", "Lists the users and the mechanisms that they can authenticate with.",
            "omq user list", "omq user list --json | jq -r '.[].name'");
        BrokerCall.Show(command, (broker, _, cancellationToken) => broker.Security.ListUsersAsync(cancellationToken),
            SecurityApiJson.Default.IReadOnlyListUserBody, Table);
        return command;
    }

    private static OmqCommand Remove()
    {
        var name = NameArgument();
        var command = new OmqCommand("remove", "Removes a user. Its connections are closed with their next request. Rules that name it "
            + "stay: see omq acl remove.", "omq user remove alice") { name };
        var server = ServerOption.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var broker = server.Connect(parsed);
            await broker.Security.DeleteUserAsync(parsed.GetRequiredValue(name), cancellationToken).ConfigureAwait(false);
            Output.WriteLine($"User {parsed.GetRequiredValue(name)} is removed.");
        });
        return command;
    }

    private static IRenderable Table(IReadOnlyList<UserBody> users)
    {
        if (users.Count == 0)
            return new Text("No users. omq user add creates one.\n");
        var table = Output.NewTable("USER", "MECHANISMS");
        foreach (var user in users)
            table.AddRow(new Text(user.Name), new Text(string.Join(", ", user.Credentials.Select(static one => one.Mechanism))));
        return table;
    }

    // From the terminal without an echo; from a pipe its first line.
    private static string Ask(string user)
    {
        if (Console.IsInputRedirected)
        {
            using var reader = new StreamReader(StandardInput.Open());
            return reader.ReadLine() ?? "";
        }
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        var first = console.Prompt(new TextPrompt<string>($"New password of {Markup.Escape(user)}:").Secret(null).AllowEmpty());
        var second = console.Prompt(new TextPrompt<string>("Again:").Secret(null).AllowEmpty());
        return first == second ? first : throw CommandFailedException.Usage("The two passwords differ. Nothing was changed.");
    }

    private static Argument<string> NameArgument() => new("NAME") { Description = "The user's name." };
}
