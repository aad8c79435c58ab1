using System.Text;

namespace OrleansMq.Silo.Configuration;

/// <summary>Writes the documentation's reference of settings from the table that the program uses.</summary>
internal static class SettingsReference
{
    /// <summary>Returns a Markdown table: each setting with its three names.</summary>
    public static string ToMarkdown()
    {
        var text = new StringBuilder();
        text.Append("| flag | environment | key in the file | meaning |\n|---|---|---|---|\n");
        foreach (var setting in Settings.All)
            text.Append($"| `{setting.Flag} {setting.ValueName.Replace("|", "\\|")}` | `{setting.Variable}` | `{setting.Key}` | "
                + $"{setting.Help} |\n");
        text.Append($"| `--config FILE` | `{SettingsResolver.FileVariable}` | | The configuration file, JSON. |\n");
        text.Append(
            $"| | | `{Settings.TopicDefaultsKey}` | An object of topic configuration for topics that do not set it themselves. |\n");
        return text.ToString();
    }
}
