namespace OrleansMq.Gateways.Amqp.Wire.Methods;

/// <summary>tx.select: makes the channel transactional.</summary>
internal readonly record struct TxSelect : IMethod
{
    public static MethodId Id => new(90, 10);

    MethodId IMethod.Id => Id;

    public static TxSelect Read(ref FieldReader reader) => default;

    public void Write(ref FieldWriter writer) { }
}

/// <summary>tx.select-ok: the channel is transactional.</summary>
internal readonly record struct TxSelectOk : IMethod
{
    public static MethodId Id => new(90, 11);

    MethodId IMethod.Id => Id;

    public static TxSelectOk Read(ref FieldReader reader) => default;

    public void Write(ref FieldWriter writer) { }
}

/// <summary>tx.commit: commits what the channel collected.</summary>
internal readonly record struct TxCommit : IMethod
{
    public static MethodId Id => new(90, 20);

    MethodId IMethod.Id => Id;

    public static TxCommit Read(ref FieldReader reader) => default;

    public void Write(ref FieldWriter writer) { }
}

/// <summary>tx.commit-ok: the transaction is committed.</summary>
internal readonly record struct TxCommitOk : IMethod
{
    public static MethodId Id => new(90, 21);

    MethodId IMethod.Id => Id;

    public static TxCommitOk Read(ref FieldReader reader) => default;

    public void Write(ref FieldWriter writer) { }
}

/// <summary>tx.rollback: drops what the channel collected.</summary>
internal readonly record struct TxRollback : IMethod
{
    public static MethodId Id => new(90, 30);

    MethodId IMethod.Id => Id;

    public static TxRollback Read(ref FieldReader reader) => default;

    public void Write(ref FieldWriter writer) { }
}

/// <summary>tx.rollback-ok: the transaction is rolled back.</summary>
internal readonly record struct TxRollbackOk : IMethod
{
    public static MethodId Id => new(90, 31);

    MethodId IMethod.Id => Id;

    public static TxRollbackOk Read(ref FieldReader reader) => default;

    public void Write(ref FieldWriter writer) { }
}
