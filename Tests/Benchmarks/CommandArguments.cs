using System.Globalization;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>The options of a subcommand: <c>--name value</c>.</summary>
internal sealed class CommandArguments(string[] arguments)
{
    /// <summary>Returns a number.</summary>
    /// <param name="name">The option.</param>
    /// <param name="fallback">The number without it.</param>
    /// <param name="least">The least that it may be; not negative.</param>
    /// <param name="most">The most that it may be.</param>
    /// <exception cref="FormatException">The value is not a whole number of that range.</exception>
    public int Number(string name, int fallback, int least = 0, int most = int.MaxValue) => Value(name) switch
    {
        null => fallback,
        var text when int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            && number >= least && number <= most => number,
        var other => throw new FormatException($"{name} is '{other}'; it may be a whole number from {least} to {most}."),
    };

    public string? Text(string name) => Value(name);

    /// <summary>Whether an option without a value is present.</summary>
    public bool Has(string name) => arguments.Contains(name);

    /// <summary>Creates a new directory below that of <c>--dir</c>, by default <c>artifacts</c> in the working directory. That is on disk,
    /// while a temporary directory may be in memory.</summary>
    public string Directory(string name)
    {
        var parent = Value("--dir") ?? "artifacts";
        return System.IO.Directory.CreateDirectory(Path.GetFullPath(Path.Combine(parent, $"{name}-{Environment.ProcessId}"))).FullName;
    }

    /// <summary>Returns an option that has no default.</summary>
    /// <exception cref="FormatException">The option is missing.</exception>
    public string Required(string name) => Value(name) ?? throw new FormatException($"{name} is missing: see --help.");

    /// <summary>Refuses options that are not in the usage text. A mistyped option would be measured with its default.</summary>
    /// <exception cref="FormatException">There is an unknown option.</exception>
    public void RefuseOthersThan(string usage)
    {
        var known = usage.Split([' ', '\n', '|', '[', ']', ',', ';', ':', '='], StringSplitOptions.RemoveEmptyEntries);
        if (arguments.FirstOrDefault(argument => argument.StartsWith("--", StringComparison.Ordinal)
            && !known.Contains(argument)) is { } other)
            throw new FormatException($"{other} is not an option: see --help.");
    }

    private string? Value(string name)
    {
        var at = Array.IndexOf(arguments, name);
        return at >= 0 && at + 1 < arguments.Length ? arguments[at + 1] : null;
    }
}
