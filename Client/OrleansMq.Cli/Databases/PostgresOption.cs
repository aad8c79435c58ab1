using System.CommandLine;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Databases;

/// <summary><c>--postgres CONNECTION</c>, or <c>--postgres-file FILE</c>: the database of a command. A command adds both
/// options.</summary>
/// <param name="description">What the database is for.</param>
internal sealed class PostgresOption(string description)
{
    private const string Variable = "OMQ_POSTGRES";
    private const string FileVariable = "OMQ_POSTGRES_FILE";

    /// <summary>The connection string.</summary>
    public Option<string> Connection { get; } = new("--postgres")
    {
        Description = $"{description} {Variable} has the same effect, and keeps a password out of the process list.",
        HelpName = "CONNECTION",
    };

    /// <summary>The file that has it.</summary>
    public Option<string> File { get; } = new("--postgres-file")
    {
        Description = "The file whose first line is the value of --postgres, which keeps a password out of the process list. "
            + $"{FileVariable} has the same effect.",
        HelpName = "FILE",
    };

    /// <summary>Returns the connection string that is given, else that of the environment, or null.</summary>
    /// <exception cref="CommandFailedException">Both forms are given, or the file cannot be read, or is empty.</exception>
    public string? Read(ParseResult parsed) =>
        Read(Connection.Name, parsed.GetValue(Connection), File.Name, parsed.GetValue(File))
        ?? Read(Variable, FromEnvironment(Variable), FileVariable, FromEnvironment(FileVariable));

    /// <summary>Says how a database is given.</summary>
    public static string Hint => $"Set --postgres \"Host=...\", --postgres-file, {Variable} or {FileVariable}.";

    private static string? Read(string form, string? connection, string fileForm, string? file)
    {
        if (file is null)
            return connection;
        if (connection is not null)
            throw CommandFailedException.Usage($"{form} and {fileForm} are two forms of one setting: omit one of them.");
        var text = UserOption.ReadFirstLine(fileForm, file);
        return string.IsNullOrWhiteSpace(text)
            ? throw CommandFailedException.Usage($"{fileForm} {file}: its first line is empty: write the value of {form} into it.")
            : text;
    }

    private static string? FromEnvironment(string variable) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } value ? value : null;
}
