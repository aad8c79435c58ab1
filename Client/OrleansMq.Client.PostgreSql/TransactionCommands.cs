using Npgsql;

namespace OrleansMq.Client.PostgreSql;

/// <summary>Executes statements with positional parameters in a transaction.</summary>
internal static class TransactionCommands
{
    /// <summary>Executes a statement and returns the number of affected rows.</summary>
    public static async Task<int> ExecuteAsync(this NpgsqlTransaction transaction, string statement, CancellationToken cancellationToken,
        params object[] parameters)
    {
        await using var command = Command(transaction, statement, parameters);
        return await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Executes a query and returns its first row; null for none.</summary>
    public static async Task<object[]?> ReadRowAsync(this NpgsqlTransaction transaction, string statement,
        CancellationToken cancellationToken, params object[] parameters)
    {
        await using var command = Command(transaction, statement, parameters);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        if (!await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
            return null;
        var row = new object[reader.FieldCount];
        reader.GetValues(row);
        return row;
    }

    private static NpgsqlCommand Command(NpgsqlTransaction transaction, string statement, object[] parameters)
    {
        ArgumentNullException.ThrowIfNull(transaction);
        var connection = transaction.Connection ?? throw new InvalidOperationException("The transaction has ended already.");
        var command = new NpgsqlCommand(statement, connection, transaction);
        foreach (var parameter in parameters)
            command.Parameters.Add(new NpgsqlParameter { Value = parameter });
        return command;
    }
}
