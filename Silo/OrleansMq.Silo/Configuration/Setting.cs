using System.Text;

namespace OrleansMq.Silo.Configuration;

/// <summary>One setting of the operator: a flag, an environment variable, and a key of the configuration file.</summary>
/// <param name="Key">Its key in the file, in camelCase; flag and variable are derived from it.</param>
/// <param name="ValueName">The placeholder of the value in the help.</param>
/// <param name="Expected">The valid values, for error messages.</param>
/// <param name="Help">Its effect, unit and default.</param>
/// <param name="Apply">Returns the settings with this value, or null if the value is invalid.</param>
/// <param name="IsSecret">Whether the value may hold a password, so that no error message repeats it, and a file may hold it.</param>
/// <param name="IsList">Whether its flag may be given several times, and its key in the file may be an array: the values are joined by
/// semicolons.</param>
internal sealed record Setting(string Key, string ValueName, string Expected, string Help,
    Func<BrokerSettings, string, BrokerSettings?> Apply,
    bool IsSecret = false, bool IsList = false)
{
    /// <summary>The flag, such as <c>--min-free-bytes</c>.</summary>
    public string Flag { get; } = "--" + Separate(Key, '-').ToLowerInvariant();

    /// <summary>The environment variable, such as <c>OMQ_MIN_FREE_BYTES</c>.</summary>
    public string Variable { get; } = "OMQ_" + Separate(Key, '_').ToUpperInvariant();

    /// <summary>The secret setting whose value is the content of the file that this one names; null for a setting with a value of its
    /// own.</summary>
    public Setting? Secret { get; private init; }

    /// <summary>Returns the setting that names a file with the value of this one: <c>--admin-password-file</c> for
    /// <c>--admin-password</c>.</summary>
    public Setting ToFile() => new(Key + "File", "FILE", "the path of a file",
        $"A file whose content is the value of {Flag}, such as a secret that a container platform mounts: UTF-8, at most 64 KiB, read at "
        + "the start, without one line end at its end. Default: none.",
        static (settings, path) => path.Length > 0 ? settings : null)
    { Secret = this };

    private static string Separate(string camelCase, char separator)
    {
        var text = new StringBuilder();
        foreach (var c in camelCase)
        {
            if (char.IsAsciiLetterUpper(c))
                text.Append(separator);
            text.Append(c);
        }
        return text.ToString();
    }
}
